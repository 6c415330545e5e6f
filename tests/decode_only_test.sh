#!/usr/bin/env bash
# OCC_WITH_ENCODER=OFF builds on a machine without BLAS, and the binary reads archives. It is built in a folder beside
# BUILD_FOLDER, with the same flags, so that its objects come from ccache; without ccache the test is skipped.
#   tests/decode_only_test.sh BUILD_FOLDER CXX_COMPILER
set -euo pipefail
build=$1-decode-only
compiler=$2
source=$(cd "$(dirname "$0")/.." && pwd)
command -v ccache >/dev/null || { echo "SKIPPED: no ccache, this would compile everything once more"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work" "$build"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
# shellcheck source=tests/hide_blas.sh
. "$source/tests/hide_blas.sh"
hide_blas "$work/hidden"

configure() { cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER="$compiler" "$@" >"$work/log" 2>&1; }
! configure || fail "the encoder was configured without BLAS"
configure -DOCC_WERROR=ON -DOCC_JOIN="$(sed -n 's/^OCC_JOIN:BOOL=//p' "$1/CMakeCache.txt")" -DOCC_WITH_ENCODER=OFF || fail "$(cat "$work/log")"
cmake --build "$build" -j 2 --target occ >"$work/log" 2>&1 || fail "$(cat "$work/log")"
occ=$build/occ
! ldd "$occ" | grep -q -i -E 'blas|lapack' || fail "occ links BLAS"
"$occ" verify "$source/tests/golden/trellis.occ"
"$occ" decompress "$source/tests/golden/trellis.occ" -o "$work/x.npy" --quiet
"$occ" inspect "$work/x.npy" --json | grep -q '"npy"'
status=0
"$occ" compress "$work/x.npy" -o "$work/x.occ" 2>"$work/err" || status=$?
[ $status = 2 ] && grep -q "without the encoder" "$work/err" || fail "compress: exit status $status, $(cat "$work/err")"
