#!/usr/bin/env bash
# QET against RTN, PQ, OPQ and LOPQ at the same bytes (README.md): CSV and SVG.
#   experiments/qet/run.sh BUILD OUT_FOLDER DATA...     DATA: synthetic:SEED, NAME=FILE or NAME=FILE:TENSOR
set -euo pipefail
[ $# -ge 3 ] || { sed -n 3p "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
build=$1 out=$2
shift 2
"$build/experiments/qet_compare" "$out" "$@"
"${PYTHON:-/usr/bin/python3}" "$here/plot.py" "$out" | tee "$out/result.md"
