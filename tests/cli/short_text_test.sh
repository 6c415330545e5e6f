#!/usr/bin/env bash
# occ compress --calibrate with texts that say little: the model must not become worse than without calibration.
. "$(dirname "$0")/lib.sh"
M=$DATA/models/stories260k TEXT=$DATA/text/tinystories_a.txt
[ -d "$M" ] && [ -f "$TEXT" ] || skip "no test data"
export XDG_CACHE_HOME=$PWD/cache
head -c 20000 "$TEXT" >measured
kl() {
  expect 0 "$OCC" evaluate "$1" --text measured --context 256 --reference "$M" --json
  perl -0ne 'print $1 if /"kl_mean": ([-0-9.e]+)/' out
}

expect 0 "$OCC" compress "$M" -o plain.occ --bits 4 --no-calibrate --quiet
plain=$(kl plain.occ)
tail -c 200 "$TEXT" >few
perl -e 'print "The quick brown fox jumps over the lazy dog.\n" x 2000' >repeated
for text in few repeated; do
  expect 0 "$OCC" compress "$M" -o $text.occ --bits 4 --calibrate $text --quiet
  grep -q "^warning: $text: .* tokens to calibrate with are few .* would do" err || fail "no warning about $text"
  [ "$(wc -l <err)" = 1 ] || fail "more than one line about $text"
  kl=$(kl $text.occ)
  perl -e 'exit($ARGV[1] <= 1.02 * $ARGV[0] ? 0 : 1)' "$plain" "$kl" || fail "KL $kl with $text, $plain without it"
  [ "$(ls -d $text.occ*)" = $text.occ ] || fail "left a file behind"
done

tail -c 5000 "$M/model.safetensors" >binary
expect 3 "$OCC" compress "$M" -o x.occ --calibrate binary
expect_error "binary: expected text in UTF-8"
[ ! -e x.occ ] || fail "wrote an archive"
