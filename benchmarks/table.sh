#!/usr/bin/env bash
# The table of rate, distortion and speed on iid N(0, 1), 4096 x 4096, single-threaded and with all cores, with zstd as
# the lossless row.   benchmarks/table.sh OCC [FOLDER]
set -euo pipefail
occ=$(readlink -f "$1")
folder=${2:-$(mktemp -d)}
input=$folder/gaussian.npy
[ -f "$input" ] || /usr/bin/python3 -c "
import numpy as np
np.save('$input', np.random.default_rng(7).standard_normal((4096, 4096), dtype=np.float32))"
printf '%-58s %7s %9s %8s %8s %10s %10s\n' recipe bpw nmse limit 'gap dB' 'enc MB/s' 'dec MB/s'
# NAME ARGUMENTS...
run() {
  local name=$1
  shift
  "$occ" compress "$input" -o "$folder/x.occ" --force --no-verify --no-sync --threads 1 --json "$@" >"$folder/c.json"
  local start end
  start=$(date +%s.%N)
  "$occ" verify "$folder/x.occ" --threads 1 >/dev/null
  end=$(date +%s.%N)
  "$occ" inspect "$folder/x.occ" --limits --json >"$folder/i.json"
  /usr/bin/python3 - "$name" "$folder" "$start" "$end" <<'PY'
import json, sys
name, folder, start, end = sys.argv[1:]
c, i = json.load(open(folder + "/c.json")), json.load(open(folder + "/i.json"))
t = i["tensors"][0]
mb = c["elements"] * 4 / 1e6
print(f'{name:<58} {c["bpw"]:7.4f} {t["nmse"]:9.6f} {2 ** (-2 * c["bpw"]):8.5f} {t["gap_db"]:8.3f} '
      f'{mb / c["seconds"]:10.0f} {mb / (float(end) - float(start)):10.0f}')
PY
}
for bits in 1 2 3 4; do run "rtn --bits $bits" --method rtn --bits $bits; done
for bits in 1 2 3 4; do run "lloyd --bits $bits" --method lloyd --bits $bits; done
for bits in 2 4; do
  for states in 8 64; do run "trellis(states=$states) --bits $bits" --method "trellis(states=$states)" --bits $bits; done
done
run 'auto --bits 2' --bits 2
run 'uniform(bits=3) > rans' --recipe 'uniform(bits=3) > rans'
run 'uniform(bits=5, per=tensor, clip=absmax) > rans' --recipe 'uniform(bits=5, per=tensor, clip=absmax) > rans'
run 'signs > hadamard > uniform(bits=3) > rans' --recipe 'signs > hadamard > uniform(bits=3) > rans'
run 'signs > hadamard(block=128) > lloyd(bits=2) > bitpack' --recipe 'signs > hadamard(block=128) > lloyd(bits=2) > bitpack'
run 'dct > uniform(bits=4) > rans' --recipe 'dct > uniform(bits=4) > rans'
if command -v zstd >/dev/null; then
  size=$(zstd -3 -q -c "$input" | wc -c)
  echo "zstd -3 (lossless): $(awk "BEGIN { printf \"%.3f\", $size * 8 / 4096 / 4096 }") bits per weight"
fi
