#!/usr/bin/env bash
# Peak memory and time of every command on files of 2 GB, beside the bound of docs/design.md, section 7.
#   benchmarks/memory.sh OCC [FOLDER]      needs 12 GB on the disk of FOLDER, 8 GB of memory, python3 with numpy
# Two inputs are made in FOLDER, if they are not there: arrays.safetensors, 32 matrices of 4096 x 4096 in f32, and model/,
# a language model of 1.1 billion random weights in bf16 with the shapes of TinyLlama. Prints a Markdown table. The bound
# holds for `compress` and for commands that go through a file tensor by tensor: twice the largest tensor in f32 and 300 MB.
# What runs a model holds its weights: those of int8 arithmetic as they are stored, those of f32 as floats.
set -euo pipefail
occ=$(readlink -f "$1")
source=$(cd "$(dirname "$0")/.." && pwd)
folder=${2:-$(mktemp -d)}
python=/usr/bin/python3
cd "$folder"

[ -f arrays.safetensors ] && [ -f model/model.safetensors ] || "$python" - "$source" <<'PY'
import json, os, struct, sys
import numpy as np

def write(path, shapes, dtype):
    """A safetensors file of normal values; the same 16 million random numbers from other places on for each tensor."""
    values = np.random.default_rng(7).standard_normal(1 << 24, dtype=np.float32)
    size = {"F32": 4, "BF16": 2}[dtype]
    header, at = {}, 0
    for name, shape in shapes.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size * int(np.prod(shape))]}
        at += size * int(np.prod(shape))
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for i, shape in enumerate(shapes.values()):
            scale = 1 if len(shape) == 1 else shape[-1] ** -0.5
            data = np.resize(np.roll(values, 1000003 * i), int(np.prod(shape))) * np.float32(scale)
            f.write((data if dtype == "F32" else (data.view(np.uint32) >> 16).astype(np.uint16)).tobytes())

write("arrays.safetensors", {f"layers.{i}.weight": [4096, 4096] for i in range(32)}, "F32")
dim, ff, kv, vocab = 2048, 5632, 256, 32000
shapes = {"model.embed_tokens.weight": [vocab, dim], "model.norm.weight": [dim], "lm_head.weight": [vocab, dim]}
for i in range(22):
    for name, shape in {"self_attn.q_proj": [dim, dim], "self_attn.k_proj": [kv, dim], "self_attn.v_proj": [kv, dim],
                        "self_attn.o_proj": [dim, dim], "mlp.gate_proj": [ff, dim], "mlp.up_proj": [ff, dim],
                        "mlp.down_proj": [dim, ff], "input_layernorm": [dim], "post_attention_layernorm": [dim]}.items():
        shapes[f"model.layers.{i}.{name}.weight"] = shape
os.makedirs("model", exist_ok=True)
write("model/model.safetensors", shapes, "BF16")
with open("model/config.json", "w") as f:
    json.dump({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": dim, "intermediate_size": ff,
               "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4, "vocab_size": vocab,
               "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
               "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2}, f)
with open(sys.argv[1] + "/fuzz/corpus/convert/llama-plain-folder") as f:  # a tokenizer of 34 tokens
    tokenizer = f.read().split("\n---\n")[1]
with open("model/tokenizer.json", "w") as f:
    f.write(tokenizer)
with open("text", "w") as f:
    f.write("the cat and the hat. a bad deed, the heel. he had the lace and the face of a jade. " * 4)
PY

echo "| command | input | seconds | peak, MB | bound, MB |"
echo "|---|---|---:|---:|---:|"
# measure INPUT BOUND ARGUMENTS...
measure() {
  "$python" - "$occ" "$@" <<'PY'
import resource, subprocess, sys, time
occ, name, bound, *arguments = sys.argv[1:]
start = time.time()
done = subprocess.run([occ, *arguments, "--quiet"], stdout=subprocess.DEVNULL)
seconds = time.time() - start
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
if done.returncode:
    sys.exit(f"exit status {done.returncode}: {' '.join(arguments)}")
print(f"| `{' '.join(a for a in arguments if a not in ('--force', '--no-sync'))}` | {name} | {seconds:.1f} | {peak:.0f} | {bound} |",
      flush=True)
PY
}
arrays="arrays, 2.1 GB" model="model, 2.2 GB" coded="model in 4 bits"
of_arrays=$((2 * 67 + 300)) of_model=$((2 * 262 + 300))
measure "$arrays" $of_arrays compress arrays.safetensors -o arrays.occ --method rtn --force --no-sync
measure "$arrays" $of_arrays compare arrays.safetensors arrays.occ
measure "$arrays" $of_arrays verify arrays.occ
measure "$arrays" $of_arrays inspect arrays.occ
measure "$arrays" $of_arrays decompress arrays.occ -o back.safetensors --force --no-sync
rm -f back.safetensors arrays.occ
measure "$model" $of_model compress model -o model.occ --method rtn --effort 1 --force --no-sync
measure "$coded" $of_model inspect model.occ
measure "$coded" $of_model verify model.occ
measure "$coded" $of_model compare model model.occ
measure "$coded" $of_model decompress model.occ -o back --force --no-sync
rm -rf back
measure "$coded" $of_model decompress model.occ -o back.gguf --force --no-sync
rm -rf back.gguf
measure "$coded" - tokenize model.occ --text text
measure "$coded" - generate model.occ --prompt "the cat" -n 4
measure "$coded" - generate model.occ --prompt "the cat" -n 4 --arithmetic f32
measure "$model" - generate model --prompt "the cat" -n 4
measure "$coded" - evaluate model.occ --text text --context 64 --max-tokens 128
measure "$coded" - evaluate model.occ --text text --context 64 --max-tokens 128 --arithmetic int8
measure "$coded, reference model" - evaluate model.occ --text text --context 64 --max-tokens 128 --reference model
