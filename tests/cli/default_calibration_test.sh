#!/usr/bin/env bash
# occ compress MODEL without a text: it is calibrated all the same, and says so. Texts in several files, checks before
# the work, progress in a pipe and on a terminal, inputs that cannot be calibrated.
. "$(dirname "$0")/lib.sh"
M=$DATA/models/stories260k TEXT=$DATA/text/tinystories_a.txt
[ -d "$M" ] && [ -f "$TEXT" ] || skip "no test data"
export XDG_CACHE_HOME=$PWD/cache
few="--calibration-tokens 2048 --tune-tokens 512"

# Size, ratio, loss and the input's bits come first; the text, the phases and the time are told before the work begins.
expect 0 "$OCC" compress "$M" -o default.occ --bits 4 $few
[[ $(sed -n 1p out) =~ "-> default.occ: 1.04 MB -> ".*"times smaller (the input has 32." ]] || fail "first line: $(head -1 out)"
[[ $(sed -n 2p out) =~ ^"KL divergence 0."[0-9]+" on "[0-9]+" tokens held out, nmse ".*" verified"$ ]] || fail "second line: $(sed -n 2p out)"
[[ $(sed -n 1p err) =~ ^"calibration: "[0-9]+" tokens of the mixed text of occ" ]] || fail "no word about the text: $(head -1 err)"
[[ $(sed -n 2p err) =~ ^[0-9]+" phases (".*"), about "[0-9] ]] || fail "no word about the phases: $(sed -n 2p err)"
grep -q '^phase 3 of' err && ! grep -q $'\r' err || fail "no plain lines in a pipe: $(cat err)"
grep -Pq '^note: KL on \d+ tokens held out: .*, without calibration' out || fail "not compared with an uncalibrated file"
perl -ne 'exit($1 < $2 ? 0 : 1) if /^note: KL on \d+ tokens held out: ([.\d]+), without calibration ([.\d]+)/' out ||
  fail "no better than without calibration"
expect 0 "$OCC" compress "$M" -o one.occ --bits 4 $few --quiet --threads 1
[ ! -s err ] && [ ! -s out ] || fail "--quiet is not quiet"
cmp default.occ one.occ || fail "threads change the bytes"
if command -v script >/dev/null; then
  script -qec "'$OCC' compress '$M' -o pty.occ --bits 4 $few" /dev/null </dev/null >pty || fail "on a terminal: $(tail -c 2000 pty)"
  grep -Pq '\r\e\[Kphase \d of \d, .*: \d+ %, \d+ s so far' pty || fail "no progress on a terminal: $(head -c 2000 pty)"
  cmp default.occ pty.occ || fail "a terminal changes the bytes"
fi

# Without calibration nothing is said and nothing measured; what fixes the errors by itself is not calibrated either.
expect 0 "$OCC" compress "$M" -o plain.occ --bits 4 --no-calibrate
[ ! -s err ] && ! grep -q 'KL\|calibration' out || fail "--no-calibrate calibrates"
! cmp -s default.occ plain.occ || fail "the default is not calibrated"
expect 0 "$OCC" compress "$M" -o n1.occ --nmse 0.01 --quiet
expect 0 "$OCC" compress "$M" -o n2.occ --nmse 0.01 --quiet --no-calibrate
cmp n1.occ n2.occ || fail "--nmse is calibrated"
expect 0 "$OCC" compress "$M" -o d.occ --dry-run
grep -q '^note: .*the run itself would be calibrated' out && [ ! -e d.occ ] || fail "dry run"

# A folder is its files by name; .jsonl has texts or conversations.
mkdir -p texts/more
tail -c 30000 "$TEXT" >texts/a.txt
tail -c 60000 "$TEXT" | head -c 30000 >texts/more/b.txt
echo 'no text' >texts/c.html
short="--bits 4 --calibration-tokens 1024 --context 128 --tune-tokens 0"
expect 0 "$OCC" compress "$M" -o folder.occ $short --calibrate texts --quiet
expect 0 "$OCC" compress "$M" -o both.occ $short --calibrate texts/a.txt --calibrate texts/more/b.txt --quiet
cmp folder.occ both.occ || fail "a folder is something else than its files"
expect 0 "$OCC" compress "$M" -o single.occ $short --calibrate texts/a.txt --quiet
! cmp -s both.occ single.occ || fail "the second text counts for nothing"
head -n 120 texts/a.txt | perl -ne 'chomp; s/["\\]//g; print qq({"text": "$_"}\n) if length' >chat.jsonl
echo '{"messages": [{"role": "user", "content": "Tell me a story."}, {"role": "assistant", "content": "Once upon a time."}]}' >>chat.jsonl
expect 0 "$OCC" compress "$M" -o chat.occ $short --calibrate chat.jsonl
grep -q '^note: 1 conversations were read as plain text' out || fail "no note about the template"

# What can be checked is checked before the work begins.
refused() {  # EXIT_CODE MESSAGE OPTION...
  local code=$1 message=$2
  shift 2
  expect "$code" "$OCC" compress "$M" "$@"
  expect_error "$message"
  ! grep -q '^phase' err || fail "found out late: $*"
}
echo precious >exists.occ
refused 1 'exists.occ' -o exists.occ
refused 2 "no method 'nosuch'" -o x.occ --method nosuch
refused 2 'matches no tensor' -o x.occ --tensor 'nosuch*=rtn'
refused 2 'cannot be met' -o x.occ --size 2000
refused 2 'context: expected 2 to' -o x.occ --context 1000000
refused 2 'named [*].occ' -o x.bin
refused 3 'missing.txt' -o x.occ --calibrate missing.txt
mkdir empty
refused 3 'empty: expected files' -o x.occ --calibrate empty
printf '{"text": "a"}\n{"txt": "b"}\n' >bad.jsonl
refused 3 "bad.jsonl: line 2: expected an object with 'text' or 'messages'" -o x.occ --calibrate bad.jsonl
refused 2 'expected with a calibration' -o x.occ --no-calibrate --context 64
refused 2 'no-calibrate' -o x.occ --no-calibrate --calibrate texts
[ ! -e x.occ ] && [ ! -e x.occ.part ] && [ "$(cat exists.occ)" = precious ] || fail "left something behind"

# What cannot be calibrated is compressed as before, with a note.
mkdir mute
cp "$M/config.json" "$M/model.safetensors" mute
expect 0 "$OCC" compress mute -o mute.occ --bits 4
grep -q '^note: not calibrated: .*tokenizer' out || fail "no note why it is not calibrated"
expect 0 "$OCC" compress "$M/model.safetensors" -o single.occ --bits 4 --force
! grep -q calibrated out || fail "a file of tensors is no model"
expect 0 "$OCC" compress "$M" -o small.occ --bits 0.5 --calibration-tokens 512 --context 64 --tune-tokens 0
grep -q '^note: not calibrated: the size asked for' out || fail "no note about the size"
[ "$(stat -c %s small.occ)" -le 16252 ] || fail "larger than asked for"
