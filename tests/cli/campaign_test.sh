#!/usr/bin/env bash
# A slice of the campaign of tests/campaign: damaged files of every format, kills and other disturbances.
. "$(dirname "$0")/lib.sh"
PYTHON=${OCC_PYTHON:-python3}
BUILD=$(dirname "$OCC")
[ -x "$BUILD/occ_serve" ] || skip "not built with occ_serve"
"$PYTHON" "$SOURCE/tests/campaign/campaign.py" "$BUILD" --mutants 80 --commands 3 --kills 5 --others 6 --work "$WORK"
