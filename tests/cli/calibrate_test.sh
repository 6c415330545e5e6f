#!/usr/bin/env bash
# occ compress --calibrate on a real model: what it gains, ceilings, resuming, reports, wrong usage.
. "$(dirname "$0")/lib.sh"
M=$DATA/models/stories260k TEXT=$DATA/text/tinystories_a.txt
[ -d "$M" ] && [ -f "$TEXT" ] || skip "no test data"
value() { perl -0ne 'print $1 if /"'"$1"'": ([-0-9.e]+)/' out; }
export XDG_CACHE_HOME=$PWD/cache
head -c 60000 "$TEXT" >short
tail -c 300000 "$TEXT" >calibration  # other stories than those that are measured
kl() { expect 0 "$OCC" evaluate "$1" --text short --context 256 --reference "$M" --json; value kl_mean; }

# At equal size much of the loss is gone; tuning takes away more; nothing is in the way of the ceiling.
size=146000
expect 0 "$OCC" compress "$M" -o plain.occ --size $size --no-calibrate --quiet
expect 0 "$OCC" compress "$M" -o codes.occ --size $size --calibrate calibration --calibration-tokens 32768 --tune-tokens 0 \
  --tune-weights 1 --json
grep -q 'not coded yet were not tuned: there are no tokens to tune on' out || fail "--tune-weights without tokens is not told"
expect 0 "$OCC" compress "$M" -o tuned.occ --size $size --calibrate calibration --calibration-tokens 32768 \
  --report report.html --json
grep -q '"sensitivity"' out && grep -q '"limit_bpw"' out && grep -q '"gap_bits"' out || fail "no limits in the report"
grep -q 'scales of rows tuned on' out || fail "no note about tuning"
grep -q '"scales of rows tuned"' out || fail "no tensor with tuned rows"
nmse=$(perl -0ne 'print $1 if /"model.layers.1.mlp.up_proj.weight".*?"nmse": ([0-9.e-]+)/s' out)
expect 0 "$OCC" compare "$M" tuned.occ --json
real=$(perl -0ne 'print $1 if /"model.layers.1.mlp.up_proj.weight".*?"nmse": ([0-9.e-]+)/s' out)
perl -e 'exit(abs($ARGV[0] / $ARGV[1] - 1) < 1e-3 ? 0 : 1)' "$nmse" "$real" || fail "nmse of tuned rows: $nmse, really $real"
for file in plain codes tuned; do
  bytes=$(stat -c %s $file.occ)
  [ "$bytes" -le $size ] && [ "$bytes" -ge $((size * 985 / 1000)) ] || fail "$file.occ has $bytes bytes"
done
plain=$(kl plain.occ) codes=$(kl codes.occ) tuned=$(kl tuned.occ)
perl -e 'my ($p, $c, $t) = @ARGV; exit($c < 0.9 * $p && $t < $c ? 0 : 1)' "$plain" "$codes" "$tuned" ||
  fail "KL without calibration, with it, and tuned: $plain $codes $tuned"
grep -q 'model.layers.4.mlp.down_proj.weight' report.html && grep -q '</svg>' report.html || fail "no tensors in the page"
expect 0 "$OCC" inspect tuned.occ --limits
grep -q 'weighted error' out || fail "no weighted limits"
expect 0 "$OCC" verify tuned.occ

# The same bytes at any thread count, and after a kill, with all that can be tuned.
tuned="--tune-weights 2 --tune-tokens 4096"
expect 0 "$OCC" compress "$M" -o one.occ --bits 4 --calibrate calibration --calibration-tokens 4096 $tuned --quiet
[ "$(ls cache/occ/importance-* | wc -l)" = 2 ] || fail "importances of two texts are not kept once each"
XDG_CACHE_HOME=$PWD/other \
  expect 0 "$OCC" compress "$M" -o two.occ --bits 4 --calibrate calibration --calibration-tokens 4096 $tuned --quiet --threads 1
cmp one.occ two.occ || fail "threads change the bytes"
"$OCC" compress "$M" -o three.occ --bits 4 --calibrate calibration --calibration-tokens 4096 $tuned --quiet 2>/dev/null &
pid=$!
for _ in $(seq 600); do
  [ "$(ls three.occ.part 2>/dev/null | wc -l)" -ge 12 ] && break
  kill -0 $pid 2>/dev/null || break
  sleep 0.05
done
kill -9 $pid 2>/dev/null || true
wait $pid 2>/dev/null || true
[ ! -e three.occ ] || fail "the run was over before it was killed"
expect 1 "$OCC" compress "$M" -o three.occ --bits 4 --calibrate calibration --calibration-tokens 4096 --tune-tokens 4096 --resume --quiet
expect 1 "$OCC" compress "$M" -o three.occ --bits 4 --calibrate calibration --calibration-tokens 8192 $tuned --resume --quiet
expect 0 "$OCC" compress "$M" -o three.occ --bits 4 --calibrate calibration --calibration-tokens 4096 $tuned --resume --quiet
cmp one.occ three.occ || fail "resuming changed the bytes"

# Other methods get moments and corrections through the same options.
expect 0 "$OCC" compress "$M" -o rtn.occ --method "rtn(group=32)" --bits 4 --no-calibrate --quiet
expect 0 "$OCC" compress "$M" -o gptq.occ --method "rtn(group=32)" --bits 4 --calibrate calibration --calibration-tokens 16384 --quiet
rtn=$(kl rtn.occ) gptq=$(kl gptq.occ)
perl -e 'exit($ARGV[1] < 0.9 * $ARGV[0] ? 0 : 1)' "$rtn" "$gptq" || fail "KL of rtn without and with calibration: $rtn $gptq"

# Wrong usage and bad input.
for option in "--calibration-tokens 100" "--context 64" "--tune-tokens 0" "--tune-weights 2"; do
  expect 2 "$OCC" compress "$M" -o x.occ --no-calibrate $option
  expect_error "expected with a calibration"
done
expect 2 "$OCC" compress "$M" -o x.occ --calibrate calibration --context 100000
expect_error "for calibration, found 100000"
expect 3 "$OCC" compress "$M" -o x.occ --calibrate missing.txt
expect_error "missing.txt"
: >empty.txt
expect 3 "$OCC" compress "$M" -o x.occ --calibrate empty.txt
expect_error "empty.txt: expected text"
make_fvecs vectors.fvecs 20 64
expect 3 "$OCC" compress vectors.fvecs -o x.occ --calibrate calibration
expect 2 "$OCC" compress "$M" -o x.occ --calibrate calibration --hessian vectors.fvecs
expect_error "expected neither"
[ ! -e x.occ ] && [ ! -e x.occ.part ] || fail "left something behind"
