#!/usr/bin/env bash
# The Python package as people get it: a wheel is built and installed into a fresh environment, where its tests run.
# It is built in a folder beside BUILD_FOLDER, with the same flags, so that its objects come from ccache. Skips without
# ccache, and where the tools cannot be had from PyPI.
#   tests/python_test.sh BUILD_FOLDER
set -euo pipefail
build=$1-python
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work" "$build"' EXIT
command -v ccache >/dev/null || { echo "SKIPPED: no ccache, this would compile everything once more"; exit 77; }
python=${OCC_PYTHON:-python3}

"$python" -m venv "$work/fresh" || { echo "SKIPPED: $python cannot make environments"; exit 77; }
"$work/fresh/bin/pip" install --quiet --disable-pip-version-check --retries 1 --timeout 20 pytest numpy >"$work/log" 2>&1 ||
  { echo "SKIPPED: PyPI cannot be reached"; exit 77; }
of_build() { sed -n "s/^$1:[A-Z]*=//p" "$2/CMakeCache.txt"; }
compiler=$(of_build CMAKE_CXX_COMPILER "$1")  # ccache tells compilers apart by their names
OCC_WHEEL_ARGUMENTS="-Ccmake.define.OCC_WERROR=ON -Cbuild-dir=$build -Ccmake.define.CMAKE_CXX_COMPILER=$compiler -Ccmake.define.OCC_JOIN=$(of_build OCC_JOIN "$1")" "$source/scripts/build_wheel.sh" "$work/wheel" "$python"
"$work/fresh/bin/pip" install --quiet --disable-pip-version-check "$work"/wheel/*.whl

size=$(stat -c %s "$work"/wheel/*.whl)
[ "$size" -le 25000000 ] || { echo "FAILED: the wheel has $size bytes, more than 25 MB" >&2; exit 1; }
cd "$work"  # not where the package's source is
fresh/bin/occ --version
fresh/bin/python -m pytest -q -rs -p no:cacheprovider "$source/python/tests"
