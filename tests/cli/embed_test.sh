#!/usr/bin/env bash
# occ embed: the same vectors from a folder, a GGUF file and archives; options and errors. Whether they are right is
# tested by embed_test.cc.
. "$(dirname "$0")/lib.sh"
[ -n "${OCC_PYTHON:-}" ] || OCC_PYTHON=python3
M=$SOURCE/tests/expected/models

make_model() {  # name of the tiny model, folder
  mkdir -p "$2/1_Pooling" "$2/2_Normalize"
  cp "$M/$1/model.safetensors" "$2"
  cp "$M/$1/plain.config.json" "$2/config.json"
  "$OCC_PYTHON" - "$SOURCE/tests/expected/embed/cases.json" "$2" <<'PY'
import json, sys
cases, folder = json.load(open(sys.argv[1])), sys.argv[2]
files = next(c for c in cases["cases"] if c["name"] == "last")["files"]
for name, content in {**files, "tokenizer.json": cases["tokenizer"]}.items():
    json.dump(content, open(f"{folder}/{name}", "w"))
PY
}

printf 'the cat sits here .\r\na dog\n\nquery : the dog runs' >lines.txt
for model in bert qwen3; do
  make_model $model $model
  expect 0 "$OCC" embed $model --text lines.txt -o $model.npy
  grep -q "^$model.npy: 4 vectors of 32 values" out || fail "report: $(cat out)"
  expect 0 "$OCC" compress $model -o $model.occ --keep '*' --bits 4 --no-calibrate
  expect 0 "$OCC" embed $model.occ --text lines.txt -o from_archive.npy --force
  cmp $model.npy from_archive.npy || fail "$model: an archive gives other vectors"
  expect 0 "$OCC" decompress $model -o $model.gguf
  grep -q 'embed with --normalize' err || fail "no note: $(cat err)"
  expect 0 "$OCC" embed $model.gguf --text lines.txt --normalize -o from_gguf.npy --force
  expect 0 "$OCC" compare from_gguf.npy $model.npy --json
  [ "$("$OCC_PYTHON" -c 'import json; print(json.load(open("out"))["total"]["nmse"] < 1e-10)')" = True ] || fail "$model: GGUF: $(cat out)"
done
expect 0 "$OCC" embed bert --text lines.txt -o int8.npy --arithmetic int8
expect 0 "$OCC" embed bert --text lines.txt -o named.npy --prompt-name query
expect 0 "$OCC" embed bert --text lines.txt -o given.npy --prompt 'query: '
cmp named.npy given.npy || fail "a prompt by name is not the prompt"
cmp -s given.npy bert.npy && fail "the prompt changes nothing"
expect 0 "$OCC" embed bert --text lines.txt -o x.fvecs --quiet
[ ! -s out ] || fail "--quiet: $(cat out)"
[ "$(wc -c <x.fvecs)" = $((4 * (4 + 32 * 4))) ] || fail "fvecs: $(wc -c <x.fvecs)"

expect 1 "$OCC" embed bert --text lines.txt -o bert.npy
expect 2 "$OCC" embed bert --text lines.txt -o folder
expect_error 'found a folder'
expect 2 "$OCC" embed bert --text lines.txt -o y.npy --prompt-name quest
expect_error "passage, query), found 'quest'"
expect 2 "$OCC" embed bert --text lines.txt -o y.npy --prompt-name query --prompt x
: >empty.txt
expect 3 "$OCC" embed bert --text empty.txt -o y.npy
expect_error 'empty.txt: expected a text in every line'
rm bert/tokenizer.json
expect 3 "$OCC" embed bert --text lines.txt -o y.npy
expect_error 'expected a tokenizer'
no_trace '.*\.npy|.*\.txt|.*\.gguf|.*\.occ|x.fvecs|bert|qwen3'
