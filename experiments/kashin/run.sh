#!/usr/bin/env bash
# Kashin decompositions in several bases (README.md): writes OUT/convergence.csv, OUT/peaks.csv, OUT/bits.csv, OUT/kashin.svg.
#   experiments/kashin/run.sh OUT [MODEL.safetensors]
# A model adds a real matrix to the random ones. Needs python3 with numpy.
set -euo pipefail
[ $# -ge 1 ] || { sed -n 3,4p "$0" >&2; exit 2; }
exec ${PYTHON:-python3} "$(dirname "$0")/decompositions.py" "$@"
