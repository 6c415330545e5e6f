#!/usr/bin/env bash
# The main job on a small matrix: compress, verify, inspect, decompress to every format, compare.
. "$(dirname "$0")/lib.sh"
make_fvecs x.fvecs 300 72

expect 0 "$OCC" compress x.fvecs -o x.occ --bits 4
grep -q verified out || fail "no word on verification"
expect 0 "$OCC" verify x.occ
expect 0 "$OCC" inspect x.occ --limits
grep -q 'trellis(step=.*) > rans' out || fail "inspect shows no recipe"
expect 0 "$OCC" inspect x.fvecs

for target in y.safetensors y.npy y.fvecs y.gguf; do
  expect 0 "$OCC" decompress x.occ -o $target
  expect 0 "$OCC" compare x.occ $target --json
  grep -q '"mse": 0.0,' out || { cat out; fail "$target differs from the archive"; }
done
expect 0 "$OCC" decompress x.occ -o folder/
[ -f folder/model.safetensors ] || fail "no model.safetensors in the folder"
expect 0 "$OCC" compare x.fvecs folder
expect 0 "$OCC" decompress x.occ -o half.npy --dtype f16
[ "$(stat -c %s half.npy)" -lt "$(stat -c %s y.npy)" ] || fail "f16 is not smaller"
# A plain conversion.
expect 0 "$OCC" decompress x.fvecs -o plain.npy
expect 0 "$OCC" compare x.fvecs plain.npy --json
grep -q '"mse": 0.0,' out || fail "a conversion must be exact"

# Methods, recipes and sizes.
expect 0 "$OCC" compress x.fvecs -o l.occ --method 'lloyd(codebook=fitted)' --bits 2
expect 0 "$OCC" compress x.fvecs -o r.occ --recipe 'signs(seed=7) > hadamard > uniform(bits=3) > rans'
expect 0 "$OCC" compress x.fvecs -o s.occ --size 9000
[ "$(stat -c %s s.occ)" -le 9000 ] || fail "--size 9000 gave $(stat -c %s s.occ) bytes"
[ "$(stat -c %s s.occ)" -ge 8800 ] || fail "--size 9000 gave only $(stat -c %s s.occ) bytes"
expect 0 "$OCC" compress x.fvecs -o n.occ --ratio 9
[ $(($(stat -c %s n.occ) * 9)) -le $((300 * 72 * 4 + 300 * 4)) ] || fail "--ratio 9 gave $(stat -c %s n.occ) bytes"

# The same bytes at any thread count and on any instruction set.
for threads in 1 2 4; do
  expect 0 "$OCC" compress x.fvecs -o t$threads.occ --recipe 'signs > hadamard > uniform(bits=3) > rans' --threads $threads
  cmp t1.occ t$threads.occ
done
for simd in ssse3 sse4 avx2 avx3; do
  expect 0 env OCC_SIMD=$simd "$OCC" decompress t1.occ -o $simd.npy
  cmp ssse3.npy $simd.npy
done
