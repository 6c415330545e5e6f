#!/usr/bin/env bash
# Corrupt and unsupported input: exit status 3, one line that names the file, nothing written.
. "$(dirname "$0")/lib.sh"
make_fvecs x.fvecs 51 16  # an odd number, so that half of it is no whole number of rows
expect 0 "$OCC" compress x.fvecs -o good.occ
expect 0 "$OCC" decompress x.fvecs -o good.safetensors
expect 0 "$OCC" decompress x.fvecs -o good.gguf
expect 0 "$OCC" decompress x.fvecs -o good.npy
cp x.fvecs good.fvecs
rm x.fvecs
mkdir bad

expect 3 "$OCC" compress missing.npy -o y.occ
expect_error 'missing.npy'
for good in good.*; do
  size=$(stat -c %s $good)
  for cut in 0 1 3 7 20 100 $((size / 2)) $((size - 1)); do
    head -c $cut $good >bad/${good/good/cut}
    expect 3 "$OCC" decompress bad/${good/good/cut} -o y.safetensors
    expect_error "${good/good/cut}"
    [ ! -e y.safetensors ] || fail "something was written from a truncated $good"
  done
done

# A flipped byte in the data of an archive.
cp good.occ bad/flip.occ
printf '\xff\x00\xff' | dd of=bad/flip.occ bs=1 seek=$(($(stat -c %s good.occ) - 200)) conv=notrunc status=none
expect 3 "$OCC" verify bad/flip.occ
expect_error 'flip.occ'
expect 3 "$OCC" decompress bad/flip.occ -o y.npy
[ ! -e y.npy ] || fail "something was written from a corrupt archive"
# An ordinary safetensors file is no archive, whatever its name.
cp good.safetensors bad/plain.occ
expect 3 "$OCC" verify bad/plain.occ
expect_error 'archive'
# Pickles are refused with a word on how to convert.
echo x >bad/pytorch_model.bin
expect 3 "$OCC" inspect bad/pytorch_model.bin
expect_error 'safetensors'

# NaN: named, nothing written.
printf '\x02\x00\x00\x00\x00\x00\x80\x3f\x00\x00\xc0\x7f' >bad/nan.fvecs
expect 3 "$OCC" compress bad/nan.fvecs -o y.occ
expect_error 'nan.fvecs.*row 0, column 1'
[ ! -e y.occ ] && [ ! -e y.occ.part ] || fail "a refused input left files behind"
