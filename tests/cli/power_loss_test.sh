#!/usr/bin/env bash
# The order of write, sync and rename: after a power loss at any moment the output is whole, the old one or the new one.
. "$(dirname "$0")/lib.sh"
command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null || skip "strace is not there or may not trace"
PYTHON=${OCC_PYTHON:-python3}
export XDG_CACHE_HOME=$WORK/cache
make_fvecs x.fvecs 300 64
power_loss() {
  local output=$1
  shift
  "$PYTHON" "$SOURCE/tests/power_loss.py" "$output" "$OCC" "$@" --quiet || fail "$*"
}
for force in "" --force; do
  power_loss y.occ compress x.fvecs -o y.occ $force
  power_loss y.npy decompress y.occ -o y.npy $force
  power_loss y decompress y.occ -o y $force
done
if "$PYTHON" "$SOURCE/tests/power_loss.py" z.npy "$OCC" decompress y.occ -o z.npy --no-sync --quiet 2>err; then
  fail "files that are not synced count as safe"
fi
