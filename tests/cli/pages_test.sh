#!/usr/bin/env bash
# The pages of compress, compare, analyze, sweep and evaluate: well-formed, self-contained, with the figures of --json.
. "$(dirname "$0")/lib.sh"
PYTHON=${OCC_PYTHON:-python3}
command -v "$PYTHON" >/dev/null || skip "no python"
check() { "$PYTHON" "$SOURCE/tests/pages_test.py" "$@" || fail "pages_test.py $*"; }
make_fvecs 'x&y.fvecs' 400 32

expect 0 "$OCC" compress 'x&y.fvecs' -o x.occ --bits 3 --report compress.html --json
cp out compress.json
check --tensors compress.html compress.json
expect 0 "$OCC" compare 'x&y.fvecs' x.occ --cosines --report compare.html
expect 1 "$OCC" compare 'x&y.fvecs' x.occ --report compare.html
expect 2 "$OCC" compare 'x&y.fvecs' x.occ --report x.occ --force
expect 0 "$OCC" analyze 'x&y.fvecs' --report analyze.html
expect 1 "$OCC" sweep 'x&y.fvecs' --methods rtn,trellis --bits 0.01,2,3 -o s --json
cp out sweep.json
check --sweep s sweep.json
check compress.html compare.html analyze.html s/index.html

M=$DATA/models/stories260k
if [ -d "$M" ]; then
  head -c 8000 "$DATA/text/tinystories_a.txt" >text
  expect 0 "$OCC" compress "$M" -o m.occ --bits 3 --no-calibrate --report model.html --json
  cp out model.json
  check --tensors model.html model.json
  expect 0 "$OCC" evaluate m.occ --reference "$M" --text text --max-tokens 1024 --prompt 'Once upon a time' --report evaluate.html --json
  answer=$("$PYTHON" -c "import json; print(json.load(open('out'))['answer'][:20])")
  grep -qF "Once upon a time$answer" evaluate.html || fail "the page lacks the answer $answer"
  expect 0 "$OCC" generate m.occ --prompt 'Once upon a time' --temperature 0 -n 128 --arithmetic f32
  grep -qF "${answer# }" out || fail "generate answers otherwise than $answer"
  expect 0 "$OCC" analyze "$M" --tensor '*layers.0.*' --report layers.html --quiet
  check model.html evaluate.html layers.html
  sed 's/prefers-color-scheme: dark/prefers-color-scheme: light/' model.html >same.html
  ! "$PYTHON" "$SOURCE/tests/pages_test.py" same.html >/dev/null || fail 'pages_test.py finds no fault in a page without a dark scheme'
fi
