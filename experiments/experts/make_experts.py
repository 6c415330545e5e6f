#!/usr/bin/env python3
"""A mixture of experts from a Llama folder: every expert has the weights of the MLP with noise, a random router chooses.

    python make_experts.py LLAMA OUT [EXPERTS [USED [NOISE]]]        (default 8 2 0.3; noise in deviations of the weights)

OUT is a Mixtral folder. Needs numpy and safetensors.
"""
import json
import os
import shutil
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

NAMES = {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}


def main(source, out, experts=8, used=2, noise=0.3):
    os.makedirs(out, exist_ok=True)
    rng = np.random.default_rng(1)
    with open(os.path.join(source, "config.json")) as f:
        config = json.load(f)
    for name in os.listdir(source):
        if name.startswith("tokenizer"):
            shutil.copy(os.path.join(source, name), out)
    tensors = {}
    for name, w in load_file(os.path.join(source, "model.safetensors")).items():
        if ".mlp." not in name:
            tensors[name] = w
            continue
        layer, part = name.split("mlp.")
        for e in range(experts):
            changed = w + noise * w.std() * rng.standard_normal(w.shape)
            tensors[f"{layer}block_sparse_moe.experts.{e}.{NAMES[part.split('.')[0]]}.weight"] = changed.astype(np.float32)
    dim = config["hidden_size"]
    for layer in range(config["num_hidden_layers"]):
        router = 3 * rng.standard_normal((experts, dim)) / dim**0.5
        tensors[f"model.layers.{layer}.block_sparse_moe.gate.weight"] = router.astype(np.float32)
    config.update(architectures=["MixtralForCausalLM"], model_type="mixtral", num_local_experts=experts,
                  num_experts_per_tok=used)
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(config, f, indent=1)
    save_file(tensors, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5]), *map(float, sys.argv[5:6]))
