#!/usr/bin/env bash
# occ analyze: tables, JSON, the page, second moments, what it refuses.
. "$(dirname "$0")/lib.sh"
make_fvecs x.fvecs 400 64
make_fvecs inputs.fvecs 300 64
make_fvecs wide.fvecs 30 65

expect 0 "$OCC" analyze x.fvecs
grep -qE '^x +400x64 +[0-9.]+ +identity +0.000' out || fail "no line for the tensor: $(cat out)"
grep -q '^x.fvecs: [0-9.]* bits per weight in its own coordinates, 0.000 less in the best ones (identity 1)$' out || fail "no total"
for system in identity hadamard dct 'dct(axis=out)' pca 'pca(block=16)' rowscale center pca_columns local_pca lowrank; do
  grep -qF "$system " out || fail "no line for $system"
done
expect 0 "$OCC" analyze x.fvecs --verbose
grep -q 'top 5 %' out || fail "--verbose does not list all figures"
expect 0 "$OCC" analyze x.fvecs --quiet --threads 1 --json
cp out one
expect 0 "$OCC" analyze x.fvecs --quiet --threads 2 --json
cmp -s one out || fail "the number of threads changes figures"
rm one

# Names are shown as text, and any name of a file can be resumed.
python=${OCC_PYTHON:-python3}
"$python" -c 'import json, struct; h = json.dumps({"a\x1b[31m": {"dtype": "F32", "shape": [64, 64], "data_offsets": [0, 16384]}}).encode()
open("esc.safetensors", "wb").write(struct.pack("<Q", len(h)) + h + bytes(range(1, 65)) * 256)'
expect 0 "$OCC" analyze esc.safetensors --verbose
! grep -q $'\x1b' out || fail "a name of a tensor controls the terminal"
cp x.fvecs $'a\xff.fvecs'
for _ in 1 2; do expect 0 "$OCC" analyze $'a\xff.fvecs' --resume odd --json; done

# A page for people, not written over another one unasked.
expect 0 "$OCC" analyze x.fvecs --report 'p&q.html' --quiet
grep -q '</svg>' 'p&q.html' && grep -q 'pca(block=16)' 'p&q.html' && grep -q 'occ analyze x.fvecs --report' 'p&q.html' || fail "the page"
! grep -qE '(src|href)=' 'p&q.html' || fail "the page needs something else"
expect 1 "$OCC" analyze x.fvecs --report 'p&q.html'
expect_error 'p&q.html'
expect 0 "$OCC" analyze x.fvecs --report 'p&q.html' --force --quiet
expect 2 "$OCC" analyze x.fvecs --report x.fvecs --force
expect_error 'x.fvecs'

# What is finished is not measured again, and gives the same figures; a file of another analysis is refused.
expect 0 "$OCC" analyze x.fvecs --json
cp out whole
expect 0 "$OCC" analyze x.fvecs --resume done --json
cmp -s whole out || fail "--resume changes figures"
sed -i 's/"kurtosis": [0-9.]*/"kurtosis": 77.5/' done
expect 0 "$OCC" analyze x.fvecs --resume done --json
grep -q '"kurtosis": 77.5' out || fail "--resume measures finished tensors again"
expect 2 "$OCC" analyze x.fvecs --resume done --bits 4
expect_error 'done: expected tensors of this analysis'
echo '{}' >bad
expect 3 "$OCC" analyze x.fvecs --resume bad

# Errors of the outputs.
expect 0 "$OCC" analyze x.fvecs --activations inputs.fvecs
grep -q 'pca(of=hessian)' out && grep -q '(outputs)' out || fail "no second moments"
expect 3 "$OCC" analyze x.fvecs --activations wide.fvecs
expect_error 'second moments'
M=$DATA/models/stories260k
if [ -d "$M" ]; then
  export XDG_CACHE_HOME=$PWD/cache
  printf 'Once upon a time there was a little girl. She had a dog and a cat and a red ball. %s\n' $(seq 300) >text
  expect 0 "$OCC" analyze "$M" --tensor '*layers.0*proj*' --calibrate text --calibration-tokens 1024 --json
  [ "$(grep -c '"error_of_outputs": true' out)" = 7 ] || fail "--calibrate knows the inputs of $(grep -c '"error_of_outputs": true' out) tensors"
fi

expect 2 "$OCC" analyze x.fvecs --tensor 'y*'
expect_error "matches no tensor"
expect 2 "$OCC" analyze x.fvecs --calibration-tokens 5
expect_error "expected with --calibrate"
expect 2 "$OCC" analyze x.fvecs --bits 0
expect 3 "$OCC" analyze x.fvecs --calibrate x.fvecs
