#!/usr/bin/env bash
# Ctrl-C and kill -9 leave no half file; --resume goes on and gives the same bytes.
. "$(dirname "$0")/lib.sh"
# Many tensors, so that a run can stop between two of them.
perl -e '
  my ($n, $rows, $cols) = (24, 400, 256);
  my $size = $rows * $cols * 4;
  my $json = "{" . join(",", map { sprintf("\"t%d.weight\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[%d,%d]}",
                                          $_, $rows, $cols, $_ * $size, ($_ + 1) * $size) } 0 .. $n - 1) . "}";
  print pack("Q<", length $json), $json;
  srand(7);
  my $row = pack("f<*", map { my $x = -6; $x += rand() for 1 .. 12; $x } 1 .. $cols * 50);
  print $row x ($rows / 50) for 1 .. $n;' >big.safetensors
expect 0 "$OCC" compress big.safetensors -o whole.occ --no-sync

# The output may lie in the folder of the model.
mkdir model
cp big.safetensors model/model.safetensors
"$OCC" compress model -o model/y.occ --no-sync --no-calibrate >out 2>err </dev/null &
pid=$!
while [ ! -e model/y.occ.part/000005.part ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done
kill -KILL $pid 2>/dev/null || true
wait $pid || true
[ ! -e model/y.occ.part ] || expect 0 "$OCC" compress model -o model/y.occ --no-sync --no-calibrate --resume
rm -r model

for signal in INT KILL; do
  rm -rf y.occ y.occ.part
  "$OCC" compress big.safetensors -o y.occ --no-sync >out 2>err </dev/null &
  pid=$!
  while [ ! -e y.occ.part/000005.part ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done
  kill -$signal $pid 2>/dev/null || true
  code=0
  wait $pid || code=$?
  if [ $code = 0 ]; then echo "note: finished before SIG$signal came"; continue; fi
  [ ! -e y.occ ] || fail "SIG$signal left a file under the output's name"
  if [ $signal = INT ]; then
    [ $code = 1 ] || fail "exit status $code after SIGINT"
    grep -q '^error: interrupted' err || { cat err >&2; fail "no word on the interruption"; }
  fi
  expect 1 "$OCC" compress big.safetensors -o y.occ --no-sync
  expect_error -- '--resume'
  expect 0 "$OCC" compress big.safetensors -o y.occ --no-sync --resume
  cmp whole.occ y.occ
  [ ! -e y.occ.part ] || fail "the part folder is still there"
  [ -z "$(ls | grep '\.tmp' || true)" ] || fail "temporary files are still there"
done

# A disk that is full: a clear failure, nothing half written.
if [ -w /dev/full ]; then
  expect 0 "$OCC" inspect whole.occ
  code=0
  "$OCC" inspect whole.occ >/dev/full 2>err || code=$?
  [ $code = 1 ] || fail "a full stdout gave exit status $code"
fi
