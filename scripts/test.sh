#!/usr/bin/env bash
# Installs what is missing, builds and runs all tests; then the unit tests and fuzz corpora once more under the address
# and undefined-behaviour sanitizers (OCC_SKIP_SANITIZERS=1 leaves that out).
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_dependencies.sh
jobs=${OCC_JOBS:-$(nproc)}
build=${OCC_BUILD_DIR:-build}

if command -v clang-format >/dev/null && clang-format --version | grep -q ' 14\.'; then
  git ls-files '*.cc' '*.h' | xargs clang-format --dry-run --Werror
fi

if [ "${OCC_SKIP_SANITIZERS:-0}" != 1 ]; then
  cmake -S . -B "$build-asan" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DOCC_SANITIZE=address,undefined \
    -DOCC_BUILD_BENCHMARKS=OFF -DOCC_BUILD_EXAMPLES=OFF
  cmake --build "$build-asan" -j "$jobs"
  # TBB keeps its threads: not a leak of ours.
  ASAN_OPTIONS=detect_leaks=0 ctest --test-dir "$build-asan" -j "$jobs" -LE slow --output-on-failure
fi

cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release
cmake --build "$build" -j "$jobs"
ctest --test-dir "$build" -j "$jobs" --output-on-failure
