#!/usr/bin/env bash
# Temporaries: removed by signals that end a run and by a limit on file sizes, collected by the next run after kill -9,
# left alone while their run lives.
. "$(dirname "$0")/lib.sh"
make_fvecs rows.fvecs 250 256
for _ in $(seq 200); do cat rows.fvecs; done >x.fvecs
rm rows.fvecs
temporaries() { find . -maxdepth 1 -name '*.tmp[0-9]*'; }
no_temporaries() { [ -z "$(temporaries)" ] || { ls >&2; fail "$1"; }; }

# decompress of 51 MB, stopped when its temporary is there; the folder's files have temporaries as well.
for output in y.safetensors y; do
  for signal in KILL INT TERM HUP XCPU; do
    "$OCC" decompress x.fvecs -o $output >out 2>err </dev/null &
    pid=$!
    while [ -z "$(temporaries)" ] && kill -0 $pid 2>/dev/null; do :; done
    kill -$signal $pid 2>/dev/null || true
    code=0
    wait $pid || code=$?
    if [ $code = 0 ]; then
      echo "note: finished before SIG$signal came"
      rm -rf $output
      continue
    fi
    [ ! -e $output ] || fail "SIG$signal left a file under the output's name"
    if [ $signal = KILL ]; then
      [ -n "$(temporaries)" ] || fail "SIGKILL left nothing: the test is too slow"
      expect 0 "$OCC" decompress x.fvecs -o $output --no-sync
      rm -r $output
    else
      [ $code = 1 ] || fail "exit status $code after SIG$signal"
      grep -q '^error: interrupted' err || { cat err >&2; fail "no word on SIG$signal"; }
    fi
    no_temporaries "SIG$signal: temporaries are still there"
  done
done

# With nohup a run goes on after the terminal is closed.
(trap '' HUP; exec "$OCC" decompress x.fvecs -o y.safetensors) >out 2>err </dev/null &
pid=$!
while [ -z "$(temporaries)" ] && kill -0 $pid 2>/dev/null; do :; done
kill -HUP $pid 2>/dev/null || true
wait $pid || fail "SIGHUP ended a run that ignores it"
rm y.safetensors

# A limit on the size of files is an error like a full disk, not a signal.
for arguments in "decompress x.fvecs -o y.safetensors" "decompress x.fvecs -o y" "compress x.fvecs -o y.occ --method rtn"; do
  code=0
  (ulimit -f 1000; exec "$OCC" $arguments) >out 2>err </dev/null || code=$?
  [ $code = 1 ] || { cat err >&2; fail "exit status $code beyond the limit of file sizes: $arguments"; }
  expect_error 'File too large'
  no_temporaries "temporaries of a run beyond the limit of file sizes"
  [ ! -e y.safetensors ] && [ ! -e y ] && [ ! -e y.occ ] || fail "half an output"
  rm -rf y.occ.part
done

# The temporary of a run that lives is locked; one that belongs to nobody is not.
touch y.safetensors.tmp1 y.safetensors.tmp2 y.safetensors.tmp-notes
flock --no-fork y.safetensors.tmp1 sleep 60 &
pid=$!
while flock -n y.safetensors.tmp1 true; do sleep 0.01; done
expect 0 "$OCC" decompress x.fvecs -o y.safetensors --no-sync
kill $pid
[ "$(ls -d y.safetensors.tmp* | tr '\n' ' ')" = "y.safetensors.tmp-notes y.safetensors.tmp1 " ] || { ls >&2; fail "wrong ones removed"; }
