#!/usr/bin/env bash
# Every example does what its first line says. Those that need a model are skipped where there is no test data.
#   examples/examples_test.sh FOLDER_OF_PROGRAMS
set -euo pipefail
examples=$1
data=${OCC_TEST_DATA:-$OCC_DEFAULT_TEST_DATA}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $*" >&2; exit 1; }

"$examples/example_compress_matrix" x.occ
"$examples/example_read_archive" x.occ | tee out
grep -q '^weights: 512 x 768, ' out || fail "the archive's tensor is not listed"
"$examples/example_search_coordinates" | tee out
grep -qx 'cheapest: dct' out || fail "smooth rows cost least as cosines"
status=0
"$examples/example_read_archive" "$0" 2>err || status=$?
[ $status = 1 ] && grep -q '^error: ' err || fail "a script was read as an archive: $(cat err)"

model=$data/models/stories260k
text=$data/text/tinystories_a.txt
[ -d "$model" ] && [ -f "$text" ] || { echo "SKIPPED: no test data in $data"; exit 77; }
export XDG_CACHE_HOME=$work/cache
head -c 60000 "$text" >calibration
"$examples/example_calibrate_model" "$model" calibration m.occ | tee out
grep -qE '^[0-9]+ bytes, [0-9.]+ bits per weight$' out || fail "no size"
"$examples/example_run_model" m.occ "Once upon a time" | tee out
grep -q '^Once upon a time.* was ' out || fail "the compressed model tells no story"
