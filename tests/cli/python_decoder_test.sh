#!/usr/bin/env bash
# The decoder of tests/occ_decode.py, written from docs/reference/format.md, gives the floats of `occ decompress` bit for bit.
# usage: python_decoder_test.sh OCC
set -euo pipefail
occ=$(realpath "$1")
decoder=$(realpath "$(dirname "$0")/../occ_decode.py")

python=
for candidate in /usr/bin/python3 python3; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import numpy' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "SKIPPED: no python3 with numpy"
  exit 77
fi
export PYTHONDONTWRITEBYTECODE=1

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# Odd sizes, rows of very different scale, heavy tails; a vector and integers, which are kept; a model folder's file.
"$python" - <<'PY'
import json, os
import numpy as np

rng = np.random.default_rng(7)
wide = (rng.standard_normal((150, 2100)) * np.exp(rng.standard_normal((150, 1)))).astype("f4")
np.save("wide.npy", wide)
tensors = {
    "block/0/weight": ((rng.standard_normal((300, 200)) * .1).astype("f4"), "F32"),
    "experts": (rng.standard_t(3, (3, 37, 331)).astype("f2"), "F16"),
    "out": ((rng.standard_normal((64, 96)).astype("f4").view("u4") >> 16).astype("u2"), "BF16"),
    "final.norm": (np.linspace(-1, 1, 77, dtype="f4"), "F32"),
    "ids": (np.arange(12).reshape(3, 4), "I64"),
}
os.mkdir("model")
header, data = {}, b""
for name, (values, dtype) in tensors.items():
    raw = values.tobytes()
    header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(raw)]}
    data += raw
text = json.dumps(header).encode()
with open("model/model.safetensors", "wb") as f:
    f.write(len(text).to_bytes(8, "little") + text + data)
with open("model/config.json", "w") as f:
    f.write('{"hidden_size": 200}')
# A tokenizer whose merges follow from its vocabulary, but for one.
tokens = ["<s>", *"abcé\"", "ab", "abc", "é\"", "ca", "abca"]
merges = ["a b", "ab c", 'é \\"', "c a", "ab ca"]
vocab = json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False)
with open("model/tokenizer.json", "w") as f:
    f.write('{"model": {"vocab": %s,\n  "merges": ["%s"]\n}}\n' % (vocab, '",\n "'.join(merges)))
np.save("inputs.npy", (rng.standard_normal((900, 200)) @ (np.eye(200) + .3 * rng.standard_normal((200, 200)))).astype("f4"))
PY

fail() {
  echo "FAILED: $*"
  exit 1
}

count=0
check() {  # INPUT, options of compress
  local input=$1
  shift
  "$occ" -q compress "$input" -o a.occ --force --no-sync "$@"
  "$occ" -q decompress a.occ -o a.safetensors --dtype f32 --force --no-sync
  "$python" "$decoder" a.occ --compare-with a.safetensors >out.txt 2>&1 || {
    cat out.txt
    fail "$input $*"
  }
  count=$((count + 1))
}

for recipe in \
  'uniform(bits=3) > bitpack' \
  'uniform > rans' \
  'uniform(bits=4, group=64, zero=asymmetric) > rans' \
  'uniform(bits=5, per=column, zero=asymmetric) > bitpack' \
  'uniform(bits=5, per=tensor) > rans(tables=4)' \
  'uniform(bits=13, per=tensor, clip=absmax) > rans' \
  'lloyd(bits=3) > rans' \
  'lloyd(bits=5, codebook=fitted, group=48) > bitpack' \
  'uniform(bits=2) > rans + uniform(bits=3, group=32) > { codes: bitpack } + lloyd > rans' \
  'signs(seed=9) > rowscale > identity > uniform(bits=6, per=tensor) > rans' \
  'split(rows=40) > { head: signs(axis=out) > uniform > rans ; tail: split(rows=1) > { head: lloyd > rans ; tail: uniform(bits=1) > bitpack } }' \
  'trellis > rans' \
  'rowscale > trellis(states=64, step=0.7) > rans(tables=8)' \
  'rowscale(steps=16) > trellis(states=64, step=0.7) > rans(tables=8)' \
  'signs > hadamard > trellis(states=4, step=0.02) > bitpack' \
  'lowrank(rank=5) > { left: uniform(bits=8, per=column) > rans ; right: trellis > rans } + trellis > rans' \
  'signs > lowrank(rank=140) > { left: uniform(bits=8) > rans ; right: lowrank(rank=0) > { left: lloyd > rans ; right: lloyd > rans } + uniform > rans }' \
  'hadamard > uniform > rans' \
  'hadamard(axis=out, odd=split) > uniform > bitpack' \
  'hadamard(block=48, odd=kronecker) > uniform > bitpack' \
  'pca(block=60) > uniform > rans' \
  'dct > uniform > bitpack' \
  'dct(axis=out, block=32) > uniform > bitpack' \
  'dst(block=52) > uniform(bits=8) > rans' \
  'polar(direction=6) > bitpack' \
  'signs > hadamard > polar(direction=5, magnitude=0, radius=norm) > { directions: rans ; magnitudes: bitpack }' \
  'polar(direction=9, dim=16, codebook=random, magnitude=3) > rans' \
  'polar(direction=6, dim=4, codebook=kmeans) > bitpack' \
  'kashin(rounds=3) > bitpack' \
  'kashin(u=3, v=1, basis=hadamard, rounds=2) > rans' \
  'kashin(basis=orthogonal, block=48, seed=3, rounds=2) > bitpack' \
  'kashin(clusters=joint, u=1, block=64, rounds=2) > rans' \
  'rownorm > signs > dct > lloyd(per=tensor) > bitpack' \
  'rownorm(keep=product) > signs > dst > trellis(step=0.6) > rans' \
  'pq(bits=3) > bitpack' \
  'pq(m=7, k=11, codebook=rtn, codebook_bits=5) > rans' \
  'pq(m=30, codebook=rtn, codebook_scale=column) > bitpack' \
  'opq(bits=3, block=24, rounds=2) > bitpack' \
  'opq(clusters=3, m=40, k=9, block=7, rounds=1, codebook=rtn) > rans' \
  'qet(m=16, k=30) > bitpack' \
  'qet(levels=3, layout=groups, bits=6, codebook=rtn) > { codes: bitpack ; order: rans(tables=8) }' \
  'outliers(fraction=0.01) > qet(levels=1, bits=3) > bitpack + uniform(bits=3) > rans' \
  'signs > outliers > pq(m=10, k=16) > bitpack' \
  'e8 > rans' \
  'rowscale > e8(step=0.02) > bitpack' \
  'e8(step=0.3) > rans(tables=16)' \
  'ggml > bitpack' \
  'ggml(type=Q5_1, group=48) > bitpack' \
  'ggml(type=IQ4_NL) > rans' \
  'ggml(type=Q2_K) > bitpack' \
  'ggml(type=Q3_K) > bitpack' \
  'ggml(type=Q6_K) > bitpack'; do
  check model --recipe "$recipe"
done
check wide.npy --recipe 'uniform(bits=3) > rans'
check wide.npy --recipe 'trellis(states=256) > rans(tables=16)'
check wide.npy --recipe 'uniform(bits=4, per=tensor) > rans(tables=8)'
check wide.npy --method rtn --ratio 9.3
"$occ" inspect a.occ | grep -q 'split(rows=' || fail "--ratio 9.3 was expected to split rows"
check model --ratio 5 --keep ids
check model --method trellis --bits 3.5 --activations inputs.npy

# What the decoder says is not always yes: another reference, a changed byte, no archive.
"$occ" -q compress model -o a.occ --force --no-sync --no-calibrate --bits 3
"$occ" -q compress model -o b.occ --force --no-sync --no-calibrate --bits 4
"$occ" -q decompress b.occ -o b.safetensors --dtype f32 --force --no-sync
status=0
"$python" "$decoder" a.occ --compare-with b.safetensors >out.txt 2>&1 || status=$?
[ $status = 1 ] || fail "another reference: expected exit code 1, found $status"
"$python" - <<'PY'
data = bytearray(open("a.occ", "rb").read())
data[8 + int.from_bytes(data[:8], "little") + 100] ^= 1
open("bad.occ", "wb").write(data)
PY
status=0
"$python" "$decoder" bad.occ out >out.txt 2>&1 || status=$?
[ $status = 3 ] || fail "a changed byte: expected exit code 3, found $status"
status=0
"$python" "$decoder" b.safetensors out >out.txt 2>&1 || status=$?
[ $status = 3 ] || fail "no archive: expected exit code 3, found $status"

"$python" "$decoder" a.occ out >/dev/null
[ -f out/block_0_weight.npy ] && [ -f out/ids.npy ] || fail "expected one .npy per tensor"
cmp out/files/tokenizer.json model/tokenizer.json || fail "the merges of the tokenizer are not those of the source"
grep -q 'ab ca' a.occ && fail "merges are expected to be left out"
echo "$count archives decoded bit for bit"
