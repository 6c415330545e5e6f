#!/usr/bin/env bash
# Installs what is missing, builds and runs all tests; then the unit tests and fuzz corpora once more under the address
# and undefined-behaviour sanitizers (OCC_SKIP_SANITIZERS=1 leaves that out).
set -euo pipefail
cd "$(dirname "$0")/.."

sanitize=$((1 - ${OCC_SKIP_SANITIZERS:-0}))
jobs=${OCC_JOBS:-$(nproc)}

scripts/install_dependencies.sh $([ $sanitize = 0 ] || echo --with-sanitizers)

if command -v clang-format-14 >/dev/null; then
  git ls-files '*.cc' '*.h' | xargs clang-format-14 --dry-run --Werror
fi

if [ $sanitize = 1 ]; then
  # One build serves the unit tests and the libFuzzer targets.
  cmake --preset sanitize -DOCC_WERROR=ON
  cmake --build --preset sanitize -j "$jobs"
  # Leaks are not looked for (the preset says so): threads of oneTBB live as long as the process.
  ctest --preset sanitize -j "$jobs"
fi

cmake --preset release -DOCC_WERROR=ON
cmake --build --preset release -j "$jobs"
ctest --preset release -j "$jobs"
