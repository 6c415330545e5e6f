#!/usr/bin/env bash
# Cosines that survive compression (README.md): writes OUT/cosines.csv, OUT/model.csv and OUT/cosines.svg.
#   experiments/cpq/run.sh OCC MINILM_FOLDER DATA OUT
# DATA has vectors/sift5k_base4500.fvecs and tasks/sst2_stsa.binary.{dev,train,test}. Needs python3 with numpy.
set -euo pipefail
[ $# = 4 ] || { sed -n 3,4p "$0" >&2; exit 2; }
exec ${PYTHON:-python3} "$(dirname "$0")/cosines.py" "$@"
