#!/usr/bin/env bash
# Every command where one allocation, read, write, ... or item of a parallel loop fails (tests/faults.cc): an error of
# one line and an exit status of 1 or 3, or the right result after all (a cache that cannot be written). Nothing half
# written stays, and the next run gives the same bytes.
. "$(dirname "$0")/lib.sh"
FAULTS=$(dirname "$OCC")/occ_faults
[ -x "$FAULTS" ] || skip "not built with occ_faults"
export XDG_CACHE_HOME=$WORK/cache
M=$DATA/models/stories260k TEXT=$DATA/text/tinystories_a.txt
make_fvecs x.fvecs 300 64
mkdir good
expect 0 "$OCC" compress x.fvecs -o good/x.occ --method trellis --no-verify
expect 0 "$OCC" decompress good/x.occ -o good/x.npy
expect 0 "$OCC" decompress good/x.occ -o good/x

# faulty NAME OUTPUT [good output] -- ARGUMENTS: over all kinds and a few places of each.
runs=0
faulty() {
  local output=$1
  shift
  rm -rf "$output" good/stdout
  expect 0 env OCC_FAULT=none:0 "$FAULTS" "$@"
  cp out good/stdout
  for kind in $kinds; do
    rm -rf "$output" "$output.part"
    expect 0 env OCC_FAULT=$kind:0 "$FAULTS" "$@"
    local calls
    calls=$(sed -n 's/^calls: //p' err)
    # The first ones, then ever rarer ones, and the last.
    for n in $(perl -e 'my ($n, $last) = (1, '"$calls"'); while ($n < $last) { print "$n "; $n = int($n * 3) + 1 } print $last if $last') 2+; do
      rm -rf "$output" "$output.part"
      local code=0
      OCC_FAULT=$kind:$n "$FAULTS" "$@" >out 2>err </dev/null || code=$?
      runs=$((runs + 1))
      case $code in
        0) same "$output" ;;
        1 | 3)
          grep -v '^calls: ' err >lines || true
          [ "$(wc -l <lines)" = 1 ] && grep -q '^error: ' lines || { cat err >&2; fail "$kind:$n of $*: not one line of an error"; }
          ;;
        *) cat err >&2; fail "$kind:$n of $*: exit status $code" ;;
      esac
      [ -z "$(find . -name '*.tmp*')" ] || { find . -name '*.tmp*' >&2; fail "$kind:$n of $*: temporaries are still there"; }
      if [ $code != 0 ] && [ "$output" != none ]; then
        # What fails when all is written (syncing the folder, printing the report) leaves the whole output.
        local resume=
        [ ! -e "$output.part" ] || resume=--resume
        [ -e "$output" ] || expect 0 "$OCC" "$@" $resume
        same "$output"
      fi
    done
  done
}
same() { if [ "$1" = none ]; then cmp out good/stdout; else diff -r "$1" "good/$1"; fi; }

kinds="new open read write sync rename task"
faulty x.occ compress x.fvecs -o x.occ --method trellis --no-verify
faulty x.npy decompress good/x.occ -o x.npy
faulty none verify good/x.occ
if [ -d "$M" ] && [ -f "$TEXT" ]; then
  expect 0 "$OCC" compress "$M" -o good/m.occ --bits 3 --no-calibrate
  head -c 2000 "$TEXT" >text
  kinds="open read task"  # destructors of the large JSON documents of a model allocate
  faulty none generate good/m.occ --prompt 'Once upon' -n 4
  faulty none evaluate good/m.occ --text text --context 64
fi
echo "$runs runs with a fault"
