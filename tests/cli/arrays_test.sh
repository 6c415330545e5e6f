#!/usr/bin/env bash
# Arrays that are no float matrices: integer vectors, long vectors, archives of numpy. None is stored larger than it came
# without a word.
. "$(dirname "$0")/lib.sh"
bytes() { stat -c %s "$1"; }
less() { perl -e 'exit !($ARGV[0] < $ARGV[1])' "$1" "$2" || fail "$3: $1 is not below $2"; }
json() { grep -o "\"$1\": [-0-9.e+]*" | head -1 | cut -d' ' -f2; }

# 500 vectors of 128 bytes, as SIFT features are; .npy of int8 and 1-D arrays with the same header.
perl -e 'srand(5); print pack("l<C*", 128, map { int(rand(40) * rand(4)) } 1 .. 128) for 1 .. 500' >x.bvecs
npy() { perl -e 'my $h = sprintf "{\x27descr\x27: \x27%s\x27, \x27fortran_order\x27: False, \x27shape\x27: (%s,), }", @ARGV;
  $h .= " " x (117 - length $h) . "\n"; print "\x93NUMPY\1\0", pack("v", length $h), $h' "$1" "$2"; }
{ npy '|i1' '500, 128'; perl -e 'srand(6); print pack("c*", map { int(rand(60) - rand(60)) } 1 .. 64000)'; } >i8.npy
{ npy '<f4' 20000; perl -e 'srand(7); for (1 .. 20000) { my $x = -6; $x += rand() for 1 .. 12; print pack("f<", $x) }'; } >v.npy
{ npy '<f4' 100; perl -e 'print pack("f<", $_) for 1 .. 100'; } >short.npy
perl -e 'print pack("l<*", 10, map { $_ * 7919 % 100003 } $_ .. $_ + 9) for 1 .. 500' >ids.ivecs

for x in x.bvecs i8.npy; do
  expect 0 "$OCC" compress $x -o y.occ --bits 4 --force
  grep -q 'integers are coded as reals and decode to F32' out || fail "$x: no note"
  less "$(bytes y.occ)" "$(( 64000 / 2 + 1 ))" "$x at 4 bits"
  expect 0 "$OCC" compare $x y.occ --json
  less "$(json nmse <out)" 0.01 "error of $x at 4 bits"
  expect 0 "$OCC" decompress y.occ -o y.npy --force
  expect 0 "$OCC" compare y.occ y.npy --json
  [ "$(json max_abs <out)" = 0.0 ] || fail "$x: decompress gives other values"
  # Kept where asked, exactly, and with a word where that is larger.
  expect 0 "$OCC" compress $x -o k.occ --keep '*' --force
  [ "$(bytes k.occ)" -le "$(bytes $x)" ] || grep -q 'note: the archive is [0-9]* bytes larger than the input' out ||
    fail "$x: grows without a word"
  expect 0 "$OCC" compare $x k.occ
  grep -q '1 tensors of integers, 0 of them differ' out || fail "$x: kept values differ"
done
# Wide integers are usually indices: kept unless asked.
expect 0 "$OCC" compress ids.ivecs -o ids.occ
grep -q 'nothing was coded (--tensor' out || fail "indices: no word"
expect 0 "$OCC" compare ids.ivecs ids.occ
grep -q '1 tensors of integers, 0 of them differ' out || fail "indices were changed"
expect 0 "$OCC" compress ids.ivecs -o ids2.occ --tensor '*=auto' --bits 6
grep -q 'coded as reals' out || fail "indices are not coded where asked"
less "$(bytes ids2.occ)" "$(bytes ids.ivecs)" "indices as reals"

# A long vector alone is coded; a short one is kept and the growth is told.
expect 0 "$OCC" compress v.npy -o v.occ --bits 4
less "$(bytes v.occ)" 10001 "a vector at 4 bits"
expect 0 "$OCC" compare v.npy v.occ --json
less "$(json nmse <out)" 0.01 "error of a vector at 4 bits"
expect 0 "$OCC" compress short.npy -o short.occ
grep -q 'nothing was coded' out && grep -q 'bytes larger than the input' out || fail "a short vector grows without a word"

[ -n "${OCC_PYTHON:-}" ] || skip "no numpy"
"$OCC_PYTHON" - <<'PY'
import numpy as np
r = np.random.default_rng(3)
a, b = r.standard_normal((70, 96)).astype('f4'), np.asfortranarray(r.standard_normal((40, 64)))
np.savez('stored.npz', **{'layer.0.w': a, 'b': b, 'n': np.arange(5)})
np.savez_compressed('deflated.npz', **{'layer.0.w': a, 'b': b, 'n': np.arange(5)})
np.save('a.npy', a); np.save('b.npy', np.ascontiguousarray(b))
PY
for x in stored.npz deflated.npz; do
  for t in layer.0.w:a b:b; do
    expect 0 "$OCC" decompress $x -o t.npy --tensor "${t%:*}" --force
    cmp t.npy "${t#*:}.npy" || fail "$x: ${t%:*} is not what numpy wrote"
  done
  expect 0 "$OCC" compress $x -o z.occ --bits 5 --force
  expect 0 "$OCC" compare $x z.occ --json
  less "$(json nmse <out)" 0.02 "error of $x"
done
