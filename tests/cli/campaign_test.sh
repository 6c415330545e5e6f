#!/usr/bin/env bash
# A slice of the campaign of tests/campaign: damaged files of every format, kills and other disturbances.
. "$(dirname "$0")/lib.sh"
PYTHON=${OCC_PYTHON:-python3}
BUILD=$(dirname "$OCC")
[ -x "$BUILD/occ_serve" ] || skip "not built with occ_serve"
"$PYTHON" "$SOURCE/tests/campaign/campaign.py" "$BUILD" --mutants 40 --commands 2 --kills 3 --others 6 --work "$WORK"
