#!/usr/bin/env bash
# occ sweep: table, CSV, page, JSON; what is done is not done again; a failing cell; interrupts; what it refuses.
. "$(dirname "$0")/lib.sh"
make_fvecs x.fvecs 400 32

expect 0 "$OCC" sweep x.fvecs --methods 'lloyd,rtn(group=16,zero=asymmetric)' --bits 4,2,3 -o s
[ "$(grep -c '^lloyd,' s/sweep.csv)" = 3 ] && [ "$(grep -c '^"rtn(group=16, zero=asymmetric)",' s/sweep.csv)" = 3 ] || fail "methods: $(cat s/sweep.csv)"
[ "$(wc -l <s/sweep.csv)" = 7 ] || fail "not a line for every cell"
[ "$(grep '^lloyd' s/sweep.csv | cut -d, -f2 | tr -d '\n')" = 234 ] || fail "rates do not rise"
grep -qE 'lloyd +2 .* [0-9]' out || fail "no table: $(cat out)"
[ "$(ls -A s | tr '\n' ' ')" = "cells.json index.html sweep.csv " ] || fail "files: $(ls -A s)"
! grep -qE '(src|href)=|https?:' s/index.html || fail "the page needs something else"

# Every figure is that of the command of the cell: bytes of the file, errors as compare tells them.
expect 0 "$OCC" sweep x.fvecs --methods rtn --bits 3 -o s --json
sed -n 's/.*"command": "occ \(.*\)".*/\1/p' out >command
bytes=$(sed -n 's/.*"bytes": \([0-9]*\),/\1/p' out)
nmse=$(sed -n '/"cells"/,$s/.*"nmse": \([0-9.e-]*\),/\1/p' out)
recall=$(sed -n 's/.*"recall_at_10": \([0-9.]*\),/\1/p' out)
expect 0 "$OCC" $(cat command)
[ "$(stat -c %s OUT.occ)" = "$bytes" ] || fail "$bytes bytes are not those of the file"
expect 0 "$OCC" compare x.fvecs OUT.occ --cosines --json
grep -q "\"nmse\": $nmse," out || fail "nmse $nmse is not that of compare"
grep -q "\"recall_at_10\": $recall," out || fail "recall $recall is not that of compare"

# What is done is not done again, also for another choice of cells; what has changed is.
sed -i 's/"nmse": [0-9.e-]*/"nmse": 0.77/' s/cells.json
expect 0 "$OCC" sweep x.fvecs --methods lloyd --bits 2,5 -o s --json
[ "$(sed '1,/"cells"/d' out | grep -c '"nmse": 0.77')" = 1 ] || fail "a finished cell is measured again, or an unknown one is not"
expect 0 "$OCC" sweep x.fvecs --methods lloyd --bits 2 -o s --seed 1
! grep -q '^lloyd,2,done.*0.77' s/sweep.csv || fail "another seed, and the cell is not measured again"
make_fvecs x.fvecs 400 32
expect 0 "$OCC" sweep x.fvecs --methods lloyd --bits 2 -o s
! grep -q '^lloyd,2,done.*0.77' s/sweep.csv || fail "the input has changed, and the cell is not measured again"

# A cell that fails keeps its error and loses no other.
expect 1 "$OCC" sweep x.fvecs --methods rtn,trellis --bits 0.01,3 -o f
expect_error '1 of 4 cells failed'
grep -q '^rtn,0.01,failed,.*whole code widths' f/sweep.csv && [ "$(grep -c ',done,' f/sweep.csv)" = 3 ] || fail "$(cat f/sweep.csv)"
grep -q 'failed: ' f/index.html || fail "the page does not tell the error"
expect 1 "$OCC" sweep x.fvecs --methods rtn --bits 0.01 -o f --json
grep -q '"state": "failed"' out || fail "no state"

# An interrupted sweep keeps what it has, and the next one goes on.
make_fvecs big.fvecs 6000 128
"$OCC" sweep big.fvecs --methods auto --bits 2,3,4,5,6 -o i >log 2>&1 </dev/null &
pid=$!
for _ in $(seq 300); do grep -q ',done,' i/sweep.csv 2>/dev/null && break; sleep 0.1; done
kill -INT $pid || true
got=0
wait $pid || got=$?
[ $got = 1 ] && grep -q '^error: interrupted' log || [ $got = 0 ] || fail "exit status $got after an interrupt: $(cat log)"
cp i/cells.json before
expect 0 "$OCC" sweep big.fvecs --methods auto --bits 2,3,4,5,6 -o i
[ "$(grep -c ',done,' i/sweep.csv)" = 5 ] && [ ! -e i/sweep.part ] || fail "does not go on: $(ls i)"
for seconds in $(sed -n 's/.*"seconds": \([0-9.]*\),/\1/p' before); do
  grep -qF "$seconds" i/cells.json || fail "a finished cell was done again"
done

# Language models: KL and perplexity as evaluate tells them.
M=$DATA/models/stories260k
if [ -d "$M" ]; then
  head -c 8000 "$DATA/text/tinystories_a.txt" >text
  expect 0 "$OCC" sweep "$M" --methods rtn --bits 4 --text text --max-tokens 1024 -o m --json
  kl=$(sed -n 's/.*"kl": \([0-9.e-]*\),/\1/p' out)
  expect 0 "$OCC" compress "$M" -o m.occ --method rtn --bits 4 --no-calibrate
  expect 0 "$OCC" evaluate m.occ --reference "$M" --text text --max-tokens 1024 --json
  grep -q "\"kl_mean\": $kl," out || fail "KL $kl is not that of evaluate"
fi

expect 2 "$OCC" sweep x.fvecs --methods nothing --bits 3 -o n
expect_error 'nothing'
expect 2 "$OCC" sweep x.fvecs --methods rtn --bits 0 -o n
expect_error 'bits'
expect 2 "$OCC" sweep x.fvecs --methods rtn --bits 3 --text x.fvecs -o n
expect_error 'expected with a model'
expect 3 "$OCC" sweep x.fvecs --methods rtn --bits 3 --calibrate x.fvecs -o n
expect 3 "$OCC" sweep missing.fvecs --methods rtn --bits 3 -o n
[ ! -e n ] || fail "a folder is left behind"
mkdir other && echo mine >other/sweep.csv
expect 1 "$OCC" sweep x.fvecs --methods rtn --bits 3 -o other
expect_error 'sweep.csv'
[ "$(cat other/sweep.csv)" = mine ] || fail "replaced a file of someone else"
echo '{}' >s/cells.json
expect 3 "$OCC" sweep x.fvecs --methods rtn --bits 3 -o s
expect_error 'cells.json'
