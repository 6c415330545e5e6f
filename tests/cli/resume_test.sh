#!/usr/bin/env bash
# Ctrl-C and kill -9 leave no half file; --resume goes on and gives the same bytes.
. "$(dirname "$0")/lib.sh"
make_fvecs x.fvecs 700 256
for i in $(seq 400); do cat x.fvecs; done >big.fvecs
expect 0 "$OCC" compress big.fvecs -o whole.occ --no-sync

for signal in INT KILL; do
  rm -rf y.occ y.occ.part
  "$OCC" compress big.fvecs -o y.occ --no-sync >out 2>err </dev/null &
  pid=$!
  while [ ! -e y.occ.part/job.txt ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done
  sleep 0.05
  kill -$signal $pid 2>/dev/null || true
  code=0
  wait $pid || code=$?
  if [ $code = 0 ]; then echo "note: finished before SIG$signal came"; continue; fi
  [ ! -e y.occ ] || fail "SIG$signal left a file under the output's name"
  if [ $signal = INT ]; then
    [ $code = 1 ] || fail "exit status $code after SIGINT"
    grep -q '^error: interrupted' err || { cat err >&2; fail "no word on the interruption"; }
  fi
  expect 1 "$OCC" compress big.fvecs -o y.occ --no-sync
  expect_error -- '--resume'
  expect 0 "$OCC" compress big.fvecs -o y.occ --no-sync --resume
  cmp whole.occ y.occ
  [ ! -e y.occ.part ] || fail "the part folder is still there"
  [ -z "$(ls | grep '\.tmp' || true)" ] || fail "temporary files are still there"
done

# A disk that is full: a clear failure, nothing half written.
if [ -w /dev/full ]; then
  expect 0 "$OCC" inspect whole.occ
  "$OCC" inspect whole.occ >/dev/full 2>err && fail "a full stdout went unnoticed"
fi
