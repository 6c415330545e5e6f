#!/usr/bin/env bash
# The installed package serves a project of its own: find_package(occ), all libraries, the examples as its sources.
#   tests/install_test.sh BUILD_FOLDER CXX_COMPILER
set -euo pipefail
build=$1
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >/dev/null
mkdir "$work/project"
cat >"$work/project/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.20)
project(consumer CXX)
set(CMAKE_CXX_STANDARD 20)
find_package(occ 0.1 REQUIRED)
add_executable(compress_matrix $source/examples/compress_matrix.cc)
target_link_libraries(compress_matrix PRIVATE occ::encode)
add_executable(read_archive $source/examples/read_archive.cc)
target_link_libraries(read_archive PRIVATE occ::decode)
add_executable(run_model $source/examples/run_model.cc)
target_link_libraries(run_model PRIVATE occ::model)
CMAKE
cmake -S "$work/project" -B "$work/project/build" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_CXX_COMPILER="$2" >/dev/null
cmake --build "$work/project/build" >/dev/null
"$work/project/build/compress_matrix" "$work/x.occ"
"$work/project/build/read_archive" "$work/x.occ"
"$work/prefix/bin/occ" verify "$work/x.occ"
status=0
"$work/project/build/run_model" "$work/x.occ" "a prompt" 2>"$work/err" || status=$?
if [ $status != 1 ] || ! grep -q '^error: .*config.json' "$work/err"; then
  echo "FAILED: run_model on a matrix: exit status $status, $(cat "$work/err")" >&2
  exit 1
fi
# Decoding and running must not drag in BLAS.
for program in read_archive run_model; do
  if ldd "$work/project/build/$program" | grep -q -i blas; then
    echo "FAILED: $program links BLAS" >&2
    exit 1
  fi
done
