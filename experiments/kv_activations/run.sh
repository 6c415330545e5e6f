#!/usr/bin/env bash
# Keys and values of a model: how they are distributed and what they cost (README.md).
#   experiments/kv_activations/run.sh BUILD MODEL TEXT OUT_FOLDER [TOKENS]
set -euo pipefail
[ $# -ge 4 ] || { sed -n 3p "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$4"
"$1/experiments/kv_activations" "$2" "$3" "${5:-2000}" "$4"
"${PYTHON:-/usr/bin/python3}" "$here/analyze.py" "$1/occ" "$4" "$4/result.csv" | tee "$4/result.md"
