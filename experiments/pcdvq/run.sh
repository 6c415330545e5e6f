#!/usr/bin/env bash
# Direction against magnitude (README.md): writes OUT.csv.
#   experiments/pcdvq/run.sh BUILD MODEL TASK_FOLDER OUT.csv [ITEMS]
# TASK_FOLDER has arc_easy.jsonl and piqa.jsonl, one item a line.
set -euo pipefail
[ $# -ge 4 ] || { sed -n 3p "$0" >&2; exit 2; }
"$1/experiments/ablation" "$2" "$4" "${5:-100}" "$3/arc_easy.jsonl" "$3/piqa.jsonl"
