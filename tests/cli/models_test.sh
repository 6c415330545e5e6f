#!/usr/bin/env bash
# Real checkpoints: the Hugging Face folder and the GGUF of the same small model, and every quantized GGUF type.
. "$(dirname "$0")/lib.sh"
[ -d "$DATA/models/stories260k" ] || skip "test data not found: $DATA"
M=$DATA/models/stories260k

expect 0 "$OCC" compress "$M" -o m.occ --bits 4 --no-calibrate
grep -q 'kept as they are' out || fail "kept tensors are not reported"
expect 0 "$OCC" verify m.occ
expect 0 "$OCC" decompress m.occ -o back
for f in config.json tokenizer.json tokenizer_config.json; do cmp "$M/$f" back/$f; done
expect 0 "$OCC" compare "$M" back
expect 0 "$OCC" compare m.occ back --json
grep -q '"mse": 0.0,' out || fail "the folder differs from the archive"

expect 0 "$OCC" compress "$M/model-f32.gguf" -o g.occ --bits 4 --no-calibrate
expect 0 "$OCC" decompress g.occ -o back.gguf
expect 0 "$OCC" compare g.occ back.gguf --json
grep -q '"mse": 0.0,' out || fail "the GGUF differs from the archive"

for f in "$DATA"/gguf/kq-*.gguf; do
  expect 0 "$OCC" compare "${f%.gguf}.expected.safetensors" "$f" --json
  grep -q '"mse": 0.0,' out || fail "$f dequantizes to other values"
done
expect 0 "$OCC" compress "$DATA/gguf/kq-Q4_K_M.gguf" -o q.occ
grep -q 'dequantized' out || fail "dequantization is not reported"
