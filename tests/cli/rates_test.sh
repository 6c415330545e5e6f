#!/usr/bin/env bash
# Rates of the default method: ceilings of any kind are met from below, closely; --nmse is the dual; bits follow the
# sensitivities.
. "$(dirname "$0")/lib.sh"
make_fvecs x.fvecs 3000 256  # 768,000 weights

within() {  # FILE, most bytes, least share
  local size most=$2
  size=$(stat -c %s "$1")
  [ "$size" -le "$most" ] || fail "$1 has $size bytes, at most $most were asked for"
  awk "BEGIN { exit !($size >= $3 * $most) }" || fail "$1 has only $size of $most bytes"
}
for bits in 0.8 1.5 2 2.37 4; do
  expect 0 "$OCC" compress x.fvecs -o b.occ --force --bits $bits
  within b.occ "$(awk "BEGIN { print int($bits * 768000 / 8) }")" 0.985
done
expect 0 "$OCC" compress x.fvecs -o s.occ --size 150000
within s.occ 150000 0.985
expect 0 "$OCC" compress x.fvecs -o r.occ --ratio 12
within r.occ $(((768000 * 4 + 3000 * 4) / 12)) 0.985
expect 0 "$OCC" compress x.fvecs -o d.occ --dry-run --bits 2
grep -q 'about 19[0-9]\.' out || { cat out; fail "a dry run did not tell the size"; }

# An error that was asked for: met from below, too.
expect 0 "$OCC" compress x.fvecs -o n.occ --nmse 0.02 --json
awk -F: '/"nmse"/ { exit !($2 + 0 <= 0.02 && $2 + 0 > 0.0195) }' out || { cat out; fail "--nmse 0.02 was missed"; }

# Product quantizers take all bytes of a tensor as their bits, any number; indices are whole bits, so not all are used.
for method in pq opq lopq 'qet(levels=1, layout=groups)' 'qet(residual=rtn, outliers=0.001)'; do
  expect 0 "$OCC" compress x.fvecs -o p.occ --force --method "$method" --size 400000
  within p.occ 400000 0.8
  expect 0 "$OCC" compress x.fvecs -o p.occ --force --method "$method" --bits 3.3 --dry-run
done

# More states, less error at the same size.
for effort in 1 6; do
  expect 0 "$OCC" compress x.fvecs -o e$effort.occ --bits 2 --effort $effort --json
  awk -F: '/"nmse"/ { print $2 + 0; exit }' out >nmse$effort
done
awk '{ a[NR] = $1 } END { exit !(a[2] < 0.97 * a[1]) }' nmse1 nmse6 || fail "effort 6 is no better than effort 1"

# Sensitivities.
echo '{"nosuch": 2}' >s.json
expect 0 "$OCC" compress x.fvecs -o k.occ --sensitivity s.json
grep -q 'match no tensor' out || fail "unknown names are not reported"
echo '{"x": -1}' >bad.json
expect 3 "$OCC" compress x.fvecs -o y.occ --sensitivity bad.json
expect_error 'sensitivity > 0'

# A file so small that its header takes more than was asked for.
make_fvecs tiny.fvecs 20 40
expect 0 "$OCC" compress tiny.fvecs -o tiny.occ --bits 2
grep -q 'codes alone' out || { cat out; fail "no word on the header"; }
