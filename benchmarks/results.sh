#!/usr/bin/env bash
# What compressed forms of a causal model lose: the tables of docs/reference/results.md.
#   benchmarks/results.sh OCC MODEL DATA OUT [BITS...]       (default 4 3 2.5 2)
# DATA has text/wiki.test.raw, text/c4_calibration.txt and tasks/. Every method gets the size in bytes of the calibrated
# file of the default method. OUT/results.csv has a row a file; runs that are there already are not repeated.
# Environment: TOKENS of calibration (default 65536), TUNE tokens (16384), EVALUATE tokens of the text (20000), LIMIT items
# of a task (200; 0: none), ROWS (default: all; names as in the file names behind the bits).
set -euo pipefail
[ $# -ge 4 ] || { sed -n 3,7p "$0" >&2; exit 2; }
occ=$1 model=$2 data=$3 out=$4
shift 4
[ $# -gt 0 ] || set -- 4 3 2.5 2
tokens=${TOKENS:-65536} evaluate=${EVALUATE:-20000} limit=${LIMIT:-200}
rows=" ${ROWS:-auto auto-untuned auto-uncalibrated rtn gptq pcdvq turbo kashin cpq qet} "
mkdir -p "$out"
calibrate=(--calibrate "$data/text/c4_calibration.txt" --calibration-tokens "$tokens")
tasks=()
if [ "$limit" != 0 ]; then
  for task in arc_easy piqa winogrande lambada_openai; do tasks+=(--task "$data/tasks/$task.jsonl"); done
  tasks+=(--limit "$limit")
fi

# row NAME compress-options...: compresses and measures unless that is done.
row() {
  local name=$1
  shift
  [[ $rows == *" ${name#*-} "* ]] || return 0
  if [ ! -s "$out/$name.json" ]; then
    "$occ" compress "$model" -o "$out/$name.occ" --force --quiet --json "$@" >"$out/$name.compress.json" || return 0
    "$occ" evaluate "$out/$name.occ" --reference "$model" --text "$data/text/wiki.test.raw" --max-tokens "$evaluate" \
      "${tasks[@]}" --json >"$out/$name.json.tmp"
    mv "$out/$name.json.tmp" "$out/$name.json"
  fi
}

for bits in "$@"; do
  row "$bits-auto" --bits "$bits" "${calibrate[@]}" --tune-tokens "${TUNE:-16384}"
  size=$(stat -c %s "$out/$bits-auto.occ")
  row "$bits-auto-untuned" --size "$size" "${calibrate[@]}" --tune-tokens 0
  row "$bits-auto-uncalibrated" --size "$size" --no-calibrate
  row "$bits-rtn" --method "rtn(group=64)" --size "$size" --no-calibrate
  row "$bits-gptq" --method rtn --size "$size" "${calibrate[@]}" --tune-tokens 0
  row "$bits-pcdvq" --method pcdvq --size "$size" "${calibrate[@]}" --tune-tokens 0
  row "$bits-turbo" --method turbo --size "$size" "${calibrate[@]}" --tune-tokens 0
  for method in kashin cpq qet; do row "$bits-$method" --method "$method" --size "$size" --no-calibrate; done
done

"${PYTHON:-python3}" - "$out" <<'PY' | tee "$out/results.csv"
import glob, json, os, sys
print("file,bytes,bpw,perplexity,stderr,kl,kl_stderr,kl_p99,top1,top1_stderr,tasks,seconds,peak_mb")
for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.compress.json"))):
    name = os.path.basename(path)[: -len(".compress.json")]
    measured = os.path.join(sys.argv[1], name + ".json")
    if not os.path.exists(measured) or os.path.getsize(path) == 0:
        continue
    c, e = json.load(open(path)), json.load(open(measured))
    tasks = " ".join(f"{t['name']}={t['acc_norm']:.3f}+-{t['acc_norm_stderr']:.3f}" for t in e["tasks"])
    print(name, c["file_bytes"], f"{c['bpw']:.4f}", f"{e['perplexity']:.3f}", f"{e['perplexity_stderr']:.3f}",
          f"{e['kl_mean']:.4f}", f"{e['kl_stderr']:.4f}", f"{e['kl_p99']:.3f}", f"{e['top1_agreement']:.4f}",
          f"{e['top1_stderr']:.4f}", tasks, f"{c['seconds']:.0f}", c["peak_bytes"] // 1000000, sep=",")
PY
