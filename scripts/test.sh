#!/usr/bin/env bash
# Installs what is missing, builds and runs all tests; then the unit tests and fuzz corpora once more under the address
# and undefined-behaviour sanitizers (OCC_SKIP_SANITIZERS=1 leaves that out).
set -euo pipefail
cd "$(dirname "$0")/.."

sanitize=$((1 - ${OCC_SKIP_SANITIZERS:-0}))
jobs=${OCC_JOBS:-$(nproc)}
build=${OCC_BUILD_DIR:-build}

scripts/install_dependencies.sh $([ $sanitize = 0 ] || echo --with-sanitizers)

if command -v clang-format-14 >/dev/null; then
  git ls-files '*.cc' '*.h' | xargs clang-format-14 --dry-run --Werror
fi

if [ $sanitize = 1 ]; then
  # One build serves the unit tests and the libFuzzer targets.
  cmake -S . -B "$build-sanitize" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO='-O1 -g1' \
    -DCMAKE_C_COMPILER=clang-14 -DCMAKE_CXX_COMPILER=clang++-14 -DOCC_SANITIZE=address,undefined -DOCC_FUZZ=ON \
    -DOCC_WERROR=ON -DOCC_BUILD_BENCHMARKS=OFF -DOCC_BUILD_EXAMPLES=OFF -DOCC_BUILD_EXPERIMENTS=OFF
  cmake --build "$build-sanitize" -j "$jobs"
  # Threads of oneTBB live as long as the process: no leak of ours.
  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
    ctest --test-dir "$build-sanitize" -j "$jobs" -E '^(cli|repository)\.' --output-on-failure
fi

cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DOCC_WERROR=ON
cmake --build "$build" -j "$jobs"
ctest --test-dir "$build" -j "$jobs" --output-on-failure
