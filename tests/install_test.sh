#!/usr/bin/env bash
# The installed package serves projects of their own: find_package(occ) with all libraries, and the components that
# decode and run on a machine without BLAS. Neither project sets a C++ standard.
#   tests/install_test.sh BUILD_FOLDER CXX_COMPILER
set -euo pipefail
build=$1
compiler=$2
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
# shellcheck source=tests/hide_blas.sh
. "$source/tests/hide_blas.sh"

cmake --install "$build" --prefix "$work/prefix" >/dev/null

# consumer NAME FIND_PACKAGE_ARGUMENTS EXAMPLE=LIBRARY...: a project that builds examples from the installed package
consumer() {
  local name=$1 arguments=$2 pair
  shift 2
  mkdir "$work/$name"
  {
    echo 'cmake_minimum_required(VERSION 3.20)'
    echo 'project(consumer CXX)'
    echo "find_package(occ 0.2 REQUIRED $arguments)"
    for pair in "$@"; do
      echo "add_executable(${pair%=*} $source/examples/${pair%=*}.cc)"
      echo "target_link_libraries(${pair%=*} PRIVATE ${pair#*=})"
    done
  } >"$work/$name/CMakeLists.txt"
  cmake -S "$work/$name" -B "$work/$name/build" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_CXX_COMPILER="$compiler"
}

consumer all '' compress_matrix=occ::encode >/dev/null
cmake --build "$work/all/build" >/dev/null
"$work/all/build/compress_matrix" "$work/x.occ"
"$work/prefix/bin/occ" verify "$work/x.occ"

hide_blas "$work/hidden"
consumer decode 'COMPONENTS decode model' read_archive=occ::decode run_model=occ::model >/dev/null
cmake --build "$work/decode/build" >/dev/null
"$work/decode/build/read_archive" "$work/x.occ"
status=0
"$work/decode/build/run_model" "$work/x.occ" "a prompt" 2>"$work/err" || status=$?
[ $status = 1 ] && grep -q '^error: .*config.json' "$work/err" || fail "run_model on a matrix: exit status $status, $(cat "$work/err")"
for program in read_archive run_model; do
  ! ldd "$work/decode/build/$program" | grep -q -i -E 'blas|lapack' || fail "$program links BLAS"
done

# What cannot be had is refused, with the reason.
! consumer encode 'COMPONENTS encode' compress_matrix=occ::encode >"$work/log" 2>&1 || fail "occ::encode was found without BLAS"
grep -q openblas "$work/log" || fail "occ::encode without BLAS: $(cat "$work/log")"
! consumer typo 'COMPONENTS decoder' read_archive=occ::decode >"$work/log" 2>&1 || fail "a component 'decoder' was found"
grep -q "no component 'decoder'" "$work/log" || fail "a component that there is not: $(cat "$work/log")"
