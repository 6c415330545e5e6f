# Sourced by the command-line tests: OCC is the binary, WORK a fresh folder that is the working directory.
set -euo pipefail
OCC=$(readlink -f "$1")
SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
DATA=${OCC_TEST_DATA:-${OCC_DEFAULT_TEST_DATA:-$SOURCE/../shared/data}}
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
cd "$WORK"

fail() { echo "FAILED: $*" >&2; exit 1; }
skip() { echo "SKIPPED: $*"; exit 77; }

# expect CODE COMMAND...: the exit status, with stdout in out and stderr in err.
expect() {
  local want=$1 got=0
  shift
  "$@" >out 2>err </dev/null || got=$?
  [ "$got" = "$want" ] || { cat out err >&2; fail "exit status $got instead of $want: $*"; }
}
# An error is one line "error: ..." that says `$1`.
expect_error() { grep -q "^error: .*$1" err || { cat err >&2; fail "stderr lacks: $1"; }; }
no_trace() { [ -z "$(ls -A | grep -vxE "out|err${1:+|$1}" || true)" ] || { ls -A >&2; fail "left something behind"; }; }

# A little-endian fvecs file $1 of $2 rows with $3 columns of about normal values.
make_fvecs() {
  perl -e 'srand(7); for (1 .. $ARGV[0]) {
    print pack("l<f<*", $ARGV[1], map { my $x = -6; $x += rand() for 1 .. 12; $x } 1 .. $ARGV[1]) }' "$2" "$3" >"$1"
}
