#!/usr/bin/env bash
# Which part of a compressed model loses how much: parts of it are put into the input, and KL is measured.
#   experiments/loss_parts/run.sh OCC MODEL FILE.occ OUT TEXT...      environment: TOKENS of each text (8000), PYTHON
set -euo pipefail
[ $# -ge 5 ] || { sed -n 3p "$0" >&2; exit 2; }
occ=$1 model=$2 file=$3 out=$4
shift 4
here=$(dirname "$0")
mkdir -p "$out"
"$occ" compress "$model" -o "$out/input.occ" --keep '*' --force --quiet
"$occ" decompress "$out/input.occ" -o "$out/input" --force --quiet
"$occ" decompress "$file" -o "$out/coded" --force --quiet
for text in "$@"; do
  for part in all rest embedding lookup head; do
    if [ "$part" = all ]; then
      folder=$out/coded
    else
      folder=$out/mixed
      "${PYTHON:-python3}" "$here/parts.py" "$out/input" "$out/coded" "$folder" "$part"
    fi
    "$occ" evaluate "$folder" --reference "$out/input" --text "$text" --max-tokens "${TOKENS:-8000}" --json >"$out/kl.json"
    echo "$(basename "$text") $part $(sed -n 's/.*"kl_mean": \([^,]*\),.*/\1/p' "$out/kl.json")"
    rm -rf "$out/mixed"
  done
done
