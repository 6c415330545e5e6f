#!/usr/bin/env bash
# Fuzzes every target of fuzz/, one after the other, with libFuzzer under the address and undefined-behaviour sanitizers.
#   scripts/fuzz.sh [MINUTES] [TARGET...]       MINUTES for each target (default 5); targets such as `gguf` (default all)
# What it tries starts from fuzz/corpus/NAME/ and from what earlier runs found, in build-fuzz/fuzz/NAME/. At the end
# that folder is reduced to the fewest inputs with the same coverage. Every finding is copied to fuzz/corpus/NAME/, where
# the tests replay it from then on, and the exit status is 1. Prints one line for each target.
# OCC_FUZZ_PROGRAMS=FOLDER uses programs that are built already.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-5}
[ $# -gt 0 ] && shift
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
  for source in fuzz/*_fuzz.cc; do targets+=("$(basename "$source" _fuzz.cc)"); done
fi
programs=${OCC_FUZZ_PROGRAMS:-}
if [ -z "$programs" ]; then
  programs=build-fuzz
  cmake --preset fuzz
  cmake --build --preset fuzz --target "${targets[@]/%/_fuzz}"
fi
work=$programs/fuzz
# What asks for too much memory must throw std::bad_alloc. Threads of oneTBB live as long as the process.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1

echo "target executions seconds edges inputs findings"
all=0
for name in "${targets[@]}"; do
  program=$programs/${name}_fuzz found=$work/$name findings=$work/$name-findings log=$work/$name.log
  mkdir -p "$found" "$findings"
  start=$SECONDS executions=0
  : >"$log"
  # A finding ends the program, so it is started again until the time is over.
  while [ $((SECONDS - start)) -lt $((minutes * 60)) ]; do
    code=0
    "$program" -max_total_time=$((minutes * 60 - SECONDS + start)) -timeout=60 -rss_limit_mb=4096 -malloc_limit_mb=2048 \
      -artifact_prefix="$findings/" -print_final_stats=1 "$found" "fuzz/corpus/$name" >"$log.last" 2>&1 || code=$?
    cat "$log.last" >>"$log"
    executions=$((executions + $(sed -n 's/^stat::number_of_executed_units: *//p' "$log.last" | tail -n 1 || echo 0)))
    [ $code != 0 ] || break
    [ "$(find "$findings" -type f | wc -l)" -lt 20 ] || break  # something is broken
  done
  seconds=$((SECONDS - start))
  mv "$found" "$found.old" && mkdir "$found"
  "$program" -merge=1 -timeout=60 -rss_limit_mb=4096 -artifact_prefix="$found.old/" "$found" "fuzz/corpus/$name" "$found.old" >>"$log" 2>&1 || true
  rm -r "$found.old"
  count=$(find "$findings" -type f | wc -l)
  find "$findings" -type f -exec cp -t "fuzz/corpus/$name" {} +
  all=$((all + count))
  echo "$name $executions $seconds $(grep -o 'cov: [0-9]*' "$log" | tail -n 1 | cut -d' ' -f2) $(find "$found" -type f | wc -l) $count"
done
[ $all = 0 ]
