#!/usr/bin/env bash
# A generated safetensors file of about 4 GB through `occ compress --method rtn`: throughput and peak memory.
#   benchmarks/large_file.sh OCC [FOLDER] [LAYERS]      64 layers of 64 MB make 4.3 GB; needs 1.5 times that on disk
# Prints wall seconds, MB of input per second and the maximum resident size beside the bound of docs/design.md section 7.
set -euo pipefail
occ=$(readlink -f "$1")
folder=${2:-$(mktemp -d)}
layers=${3:-64}
input=$folder/large.safetensors
[ -f "$input" ] || /usr/bin/python3 - "$input" "$layers" <<'PY'
import json, struct, sys
import numpy as np
path, layers = sys.argv[1], int(sys.argv[2])
shape, size = [4096, 4096], 4096 * 4096 * 4
header = {f"layers.{i}.weight": {"dtype": "F32", "shape": shape, "data_offsets": [i * size, (i + 1) * size]}
          for i in range(layers)}
text = json.dumps(header).encode()
text += b" " * (-(8 + len(text)) % 64)
rng = np.random.default_rng(7)
with open(path, "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text)
    for i in range(layers):
        f.write(rng.standard_normal(shape, dtype=np.float32).tobytes())
PY
bytes=$(stat -c %s "$input")
cat "$input" >/dev/null  # warm page cache
measure() {
  echo "\$ occ $*"
  /usr/bin/python3 - "$bytes" "$occ" "$@" <<'PY'
import resource, subprocess, sys, time
start = time.time()
subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL)
seconds = time.time() - start
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
print(f"  {seconds:.2f} s, {int(sys.argv[1]) / 1e6 / seconds:.0f} MB/s of input, peak {peak:.0f} MB "
      f"(bound {2 * 67.1 + 300:.0f} MB)")
PY
}
measure compress "$input" -o "$folder/large.occ" --force --no-verify --no-sync
measure compress "$input" -o "$folder/large.occ" --force
measure verify "$folder/large.occ"
measure decompress "$folder/large.occ" -o "$folder/back.safetensors" --force --no-sync
rm -f "$folder/large.occ" "$folder/back.safetensors"
