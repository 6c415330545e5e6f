#!/usr/bin/env bash
# Wrong usage: exit status 2, one line of error that says what may have been meant, and where to look. Help and version
# on stdout.
. "$(dirname "$0")/lib.sh"
make_fvecs x.fvecs 100 72

expect 0 "$OCC" --help
grep -q compress out || fail "--help lists no commands"
expect 0 "$OCC" --version
grep -q '^occ [0-9]' out || fail "--version"
for command in compress decompress verify inspect compare analyze evaluate generate methods tokenize; do
  expect 0 "$OCC" $command --help
  grep -q -- "$command" out || fail "$command --help"
done
expect 0 "$OCC" generate --help
for default in 256 0.7 0.95 4096 int8; do grep -qE "[= ]$default\b" out || fail "generate --help does not tell the default $default"; done
expect 0 "$OCC" methods
grep -q 'rtn' out && grep -q 'hadamard' out && grep -q 'rans' out || fail "methods"
expect 0 "$OCC" methods --json

expect 2 "$OCC"
expect 2 "$OCC" nosuch
expect 2 "$OCC" compress
expect 2 "$OCC" compress x.fvecs
# says TEXT COMMAND...: status 2, one line of error with TEXT, then where to look, and no help that scrolls it away.
says() {
  local text=$1
  shift
  expect 2 "$OCC" "$@"
  expect_error "$text"
  [ "$(wc -l <err)" = 2 ] && grep -qE '^see: occ ([a-z]+ )?--help$' err || { cat err >&2; fail "more than an error and a hint: $*"; }
  [ ! -s out ] || fail "wrong usage prints to stdout"
}
says "occ compress has no option --bitz, did you mean --bits[?]" compress x.fvecs -o y.occ --bitz 3
says "did you mean --bits[?]" compress x.fvecs -o y.occ --bitz=3
says "did you mean --output[?]" compress x.fvecs --out y.occ
says "did you mean --temperature[?]" generate x --prompt a --temp 0
says "has no option --nosuch$" compress x.fvecs -o y.occ --nosuch
says "has no option --limits, it belongs to inspect$" compress x.fvecs -o y.occ --limits
says "occ has no option --versoin, did you mean --version[?]" --versoin
says "there is no command 'compres', did you mean 'occ compress'[?]" compres x.fvecs -o y.occ
says "did you mean 'occ compress'[?]" --threads 2 compres x.fvecs
says "did you mean 'occ compress'[?]" quantize x.fvecs
says "did you mean 'occ generate --chat'[?]" chat x
says "did you mean 'occ generate'[?]" run x
says "did you mean 'occ evaluate'[?]" eval x
says "did you mean 'occ inspect'[?]" info x
says "there is no command 'frobnicate', expected one of: compress, " frobnicate
says "occ inspect: unexpected argument 'y'" inspect x.fvecs y
says "occ compress: --output is required" compress x.fvecs
no_trace x.fvecs
expect 2 "$OCC" compress x.fvecs -o y.occ --bits 4 --ratio 4
expect 2 "$OCC" compress x.fvecs -o y.occ --method rtn --bits 2.5
expect_error 'whole code widths'
expect 2 "$OCC" compress x.fvecs -o y.occ --bits x
expect 2 "$OCC" compress x.fvecs -o y.occ --bits 0
expect 2 "$OCC" compress x.fvecs -o y.occ --effort 10
expect_error '1 to 9'
expect 2 "$OCC" compress x.fvecs -o y.occ --nmse 2
expect 2 "$OCC" compress x.fvecs -o y.occ --nmse 0.1 --method rtn
expect_error 'continuous rate'
expect 2 "$OCC" compress x.fvecs -o y.occ --recipe 'trellis(states=12) > rans'
expect_error 'power of two'
for size in 10XB '' M 0 -5k 1e99G; do expect 2 "$OCC" compress x.fvecs -o y.occ --size "$size"; done
expect_error -- '--size'
for size in 12345 12.345k '12.345 KB' 0.012345m 0.012345MB 0.000012345G; do
  expect 0 "$OCC" compress x.fvecs -o d.occ --size "$size" --dry-run
  mv out "size.$size"
  cmp "size.12345" "size.$size" || fail "--size $size is not 12345 bytes"
done
rm size.*
expect 3 "$OCC" compress NoSuchOrg/Model-1B -o y.occ
expect_error "'huggingface-cli download NoSuchOrg/Model-1B --local-dir Model-1B' makes the folder"
expect 2 "$OCC" compress x.fvecs -o y.occ --size 100
expect_error 'cannot be met'
expect 2 "$OCC" compress x.fvecs -o y.occ --method nosuch
expect_error "no method 'nosuch'"
expect 2 "$OCC" compress x.fvecs -o y.occ --method rtn --recipe 'uniform > bitpack'
expect 2 "$OCC" compress x.fvecs -o y.occ --recipe 'uniform >'
expect_error 'expected a name'
expect 2 "$OCC" compress x.fvecs -o y.occ --tensor nosuch=rtn
expect_error 'matches no tensor'
expect 2 "$OCC" compress x.fvecs -o y.occ --tensor x
expect 2 "$OCC" inspect x.fvecs --limits
expect 2 env OCC_SIMD=nosuch "$OCC" inspect x.fvecs
expect 2 env OCC_CACHE_SIZE=much "$OCC" compress x.fvecs -o never.occ
[ ! -e never.occ ] || fail "OCC_CACHE_SIZE: worked before it was looked at"
no_trace x.fvecs

expect 2 "$OCC" compress x.fvecs -o y.npy
expect_error '[*].occ'
expect 2 "$OCC" compress x.fvecs -o y.occ --recipe ''
expect 2 "$OCC" compress x.fvecs -o y.occ --threads -1
expect 2 "$OCC" decompress x.fvecs -o y.safetensor
expect_error 'safetensor'
no_trace x.fvecs

expect 0 "$OCC" compress x.fvecs -o y.occ
expect 1 "$OCC" compress x.fvecs -o y.occ
expect_error 'exists already'
expect 0 "$OCC" compress x.fvecs -o y.occ --force
mkdir folder.occ folder.npy precious
echo x >precious/notes.txt
expect 1 "$OCC" compress x.fvecs -o folder.occ --force
expect_error 'regular file'
expect 1 "$OCC" decompress y.occ -o folder.npy --force
expect 1 "$OCC" decompress y.occ -o precious --force
[ -f precious/notes.txt ] || fail "a foreign file is gone"
cp y.occ renamed.safetensors
expect 0 "$OCC" inspect renamed.safetensors
grep -q 'trellis' out || fail "an archive under another name is not recognised"
expect 2 "$OCC" decompress y.occ -o z.npy --tensor nosuch
expect 1 "$OCC" compress x.fvecs -o no/such/folder/y.occ
expect 0 "$OCC" compress x.fvecs -o d.occ --dry-run
[ ! -e d.occ ] || fail "--dry-run wrote a file"

# An output never replaces what it is made of, whatever it is called.
cp y.occ same.occ
ln -s same.occ soft.occ
ln same.occ hard.occ
for output in same.occ ./same.occ soft.occ hard.occ; do
  expect 2 "$OCC" compress same.occ -o $output --force --bits 2
  expect_error 'does not replace the input'
done
expect 2 "$OCC" compress x.fvecs -o y.occ --activations y.occ --force
expect 2 "$OCC" compress x.fvecs -o y.occ --report x.fvecs --force
expect 2 "$OCC" compress x.fvecs -o y.occ --report ./y.occ --force
expect 2 "$OCC" compress x.fvecs -o z.occ --dry-run --report r.html
expect_error 'report'
expect 2 "$OCC" compress x.fvecs -o z.occ --calibration-tokens 100
expect_error 'no language model'
expect 0 "$OCC" decompress y.occ -o model
expect 2 "$OCC" decompress model -o model/model.safetensors --dtype bf16 --force
expect 2 "$OCC" decompress model/model.safetensors -o model --dtype bf16 --force
expect_error 'does not replace the input'
cmp y.occ same.occ

# Two runs never write one output: neither two that begin together, nor one while another holds the lock.
for run in a b; do
  { code=0; "$OCC" decompress y.occ -o both >/dev/null 2>err.$run || code=$?; echo $code >code.$run; } &
done
wait
[ "$(cat code.a code.b | sort | xargs)" = '0 1' ] || { cat err.a err.b >&2; fail "two runs wrote one folder"; }
exec 7>locked.lock
flock 7
expect 1 "$OCC" decompress y.occ -o locked
expect_error 'locked: another run is writing it'
[ ! -e locked ] || fail "written in spite of a lock"
exec 7>&-
expect 0 "$OCC" decompress y.occ -o locked
[ ! -e locked.lock ] && [ ! -e both.lock ] || fail "a lock was left behind"

# A pipe is refused at once: reading it would wait for somebody who writes to it.
mkfifo pipe pipe.occ pipe.safetensors
for input in pipe pipe.occ pipe.safetensors; do
  expect 3 timeout 20 "$OCC" inspect $input
  expect_error "$input: expected a regular file"
done
expect 1 timeout 20 "$OCC" decompress y.occ -o pipe.safetensors --force
expect_error 'expected a regular file'

# A terminal of 80 columns is not overrun; a pipe and --verbose get everything.
if command -v script >/dev/null; then
  recipe=$("$OCC" inspect y.occ --json | grep -o '"recipe": ".*"' | cut -d'"' -f4)
  expect 0 "$OCC" inspect y.occ
  grep -qF "$recipe" out || fail "the table is cut in a pipe"
  expect 0 script -qec "stty cols 80; '$OCC' inspect y.occ" /dev/null
  grep -q 'trellis' out && grep -q '[.][.][.]' out || { cat out >&2; fail "the recipe is not abbreviated"; }
  [ "$(grep -v 'bits per weight' out | tr -d '\r' | awk '{ if (length > m) m = length } END { print m }')" -le 80 ] || fail "wider than the terminal"
  expect 0 script -qec "stty cols 80; '$OCC' inspect y.occ --verbose" /dev/null
  grep -qF "$recipe" out || fail "--verbose cuts the table"
fi

# --json prints one document and nothing else on stdout; --quiet prints nothing.
expect 0 "$OCC" compress x.fvecs -o j.occ --json
[ "$(head -c1 out)" = '{' ] && [ "$(tail -n1 out)" = '}' ] || fail "--json"
expect 0 "$OCC" compress x.fvecs -o q.occ --quiet
[ ! -s out ] && [ ! -s err ] || fail "--quiet is not quiet"
if command -v python3 >/dev/null; then
  for c in "compress x.fvecs -o k.occ --json" "inspect y.occ --limits --json" "compare x.fvecs y.occ --json" "methods --json"; do
    "$OCC" $c | python3 -c 'import json,sys; json.load(sys.stdin)' || fail "$c prints no JSON"
  done
fi
