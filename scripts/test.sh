#!/usr/bin/env bash
# Installs what is missing, checks the style, builds and runs the unit tests and fuzz corpora under the address and
# undefined-behaviour sanitizers, with clang-tidy on what the last commit changed (OCC_SKIP_SANITIZERS=1 leaves all that out),
# and then builds and runs all tests as they are released.
set -euo pipefail
cd "$(dirname "$0")/.."

sanitize=$((1 - ${OCC_SKIP_SANITIZERS:-0}))
jobs=${OCC_JOBS:-$(nproc)}
# Relative to here, so that the builds that tests make in other folders take their objects from ccache.
export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$PWD}

scripts/install_dependencies.sh $([ $sanitize = 0 ] || echo --with-sanitizers)

scripts/pre_commit.sh

if [ $sanitize = 1 ]; then
  # The fuzz targets replay their corpora here; scripts/fuzz.sh builds them with libFuzzer, whose counters cost 8 % of the build.
  cmake --preset sanitize -DOCC_WERROR=ON
  cmake --build --preset sanitize -j "$jobs"
  # The preset leaves out tests that measure figures over much data, of code that other tests run as well, and does not look
  # for leaks: threads of oneTBB live as long as the process.
  ctest --preset sanitize -j "$jobs"
  scripts/tidy.sh
fi

# The corpora were replayed under the sanitizers.
cmake --preset release -DOCC_WERROR=ON -DOCC_JOIN=ON -DOCC_BUILD_FUZZERS=$([ $sanitize = 1 ] && echo OFF || echo ON)
cmake --build --preset release -j "$jobs"
ctest --preset release -j "$jobs"
