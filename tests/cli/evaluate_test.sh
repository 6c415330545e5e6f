#!/usr/bin/env bash
# occ evaluate and occ generate on a real model: from the folder, from GGUF, and from archives of both.
. "$(dirname "$0")/lib.sh"
M=$DATA/models/stories260k TEXT=$DATA/text/tinystories_a.txt
[ -d "$M" ] && [ -f "$TEXT" ] || skip "no test data"
value() { perl -0ne 'print $1 if /"'"$1"'": ([-0-9.e]+)/' out; }
# near NAME VALUE TOLERANCE: a figure of the JSON in out
near() {
  perl -e 'exit(abs($ARGV[0] - $ARGV[1]) <= $ARGV[2] ? 0 : 1)' "$(value "$1")" "$2" "$3" || fail "$1 is $(value "$1"), expected $2 +- $3"
}
head -c 400000 "$TEXT" >text

# llama.cpp: 7.7853 on these bytes, 802 chunks.
expect 0 "$OCC" evaluate "$M" --text text --context 256 --json
near perplexity 7.7853 0.0156
near tokens 101854 0
head -c 100000 "$TEXT" >short
expect 0 "$OCC" evaluate "$M/model-f32.gguf" --text short --context 256 --reference "$M" --json
near kl_mean 0 1e-8
near top1_agreement 1 0

# What is lost grows as the bits shrink; archives made from the folder and from the GGUF run alike.
expect 0 "$OCC" compress "$M" -o m6.occ --bits 6 --no-calibrate --quiet
expect 0 "$OCC" compress "$M" -o m3.occ --bits 3 --no-calibrate --quiet
expect 0 "$OCC" compress "$M/model-f32.gguf" -o g6.occ --bits 6 --no-calibrate --quiet
expect 0 "$OCC" evaluate m6.occ --text short --context 256 --reference "$M" --json
six=$(value kl_mean)
expect 0 "$OCC" evaluate m3.occ --text short --context 256 --reference "$M" --json
three=$(value kl_mean)
expect 0 "$OCC" evaluate g6.occ --text short --context 256 --reference "$M" --json
gguf=$(value kl_mean)
perl -e 'my ($s, $t, $g) = @ARGV; exit($s > 0 && $t > 8 * $s && $g < 2 * $s && $s < 2 * $g ? 0 : 1)' "$six" "$three" "$gguf" ||
  fail "KL at 6, 3 bits and from the GGUF at 6: $six $three $gguf"
# Running from the codes with activations in int8 adds little.
expect 0 "$OCC" evaluate m6.occ --text short --context 256 --reference m6.occ --arithmetic int8 --json
near kl_mean 0 0.001
expect 0 "$OCC" evaluate m3.occ --text short --context 256 --max-tokens 1024
grep -q '^perplexity .*(508 tokens scored in 4 chunks)' out || fail "no table"

# The same seed, the same text; the same from any form at temperature 0 in f32.
expect 0 "$OCC" generate "$M" --prompt "Once upon a time" -n 40 --temperature 0 --arithmetic f32
cp out folder
grep -q '^prompt: 5 tokens, .*; generated: 40 tokens, ' err || fail "no speed on stderr"
expect 0 "$OCC" generate "$M/model-f32.gguf" --prompt "Once upon a time" -n 40 --temperature 0 --arithmetic f32 --quiet
cmp out folder || fail "folder and GGUF give different texts"
[ ! -s err ] || fail "--quiet prints"
expect 0 "$OCC" generate m6.occ --prompt "Once upon a time" -n 40 --seed 5 --quiet
cp out first
expect 0 "$OCC" generate m6.occ --prompt "Once upon a time" -n 40 --seed 5 --quiet
cmp out first || fail "the same seed gave another text"
expect 0 "$OCC" generate m6.occ --prompt "Once upon a time" -n 40 --seed 6 --quiet
! cmp -s out first || fail "another seed gave the same text"
expect 0 "$OCC" generate "$M" --prompt "Once upon a time" -n 200 --temperature 0 --stop "." --quiet
! grep -q '\.' out || fail "the stop text is in the output"

# Wrong usage and bad input.
expect 2 "$OCC" evaluate "$M"
expect_error "nothing to measure"
expect 2 "$OCC" evaluate "$M" --prompt x --max-tokens 64
expect_error 'expected with --text'
expect 2 "$OCC" evaluate "$M" --text short --limit 64
expect_error 'expected with --task'
expect 2 "$OCC" evaluate "$M" --text short --context 100000
expect_error "512 positions"
expect 2 "$OCC" evaluate "$M" --pairs short
expect 3 "$OCC" evaluate "$M" --text /nonexistent
expect 2 "$OCC" generate "$M"
expect_error "expected --prompt TEXT or --chat"
expect 2 "$OCC" generate "$M" --prompt x --temperature -1
expect_error "temperature"
expect 3 "$OCC" generate "$M" --prompt x --chat
expect_error "chat template"
mkdir broken
cp "$M/model.safetensors" broken
expect 3 "$OCC" generate broken --prompt x
expect_error "config.json"
