"""A Llama in numpy, and other weights that give the same Llama: the equivalent forms of docs/theory/operator_view.md.

Weights are a dictionary of float32 arrays under the names that Hugging Face gives them; W [outputs, inputs].
"""
import json
import shutil
import struct
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent))
import common


def read(folder):
    """(configuration, weights) of a Hugging Face folder with one model.safetensors of type F32."""
    folder = Path(folder)
    header, weights = common.read_safetensors(folder / "model.safetensors")
    other = [n for n, e in header.items() if n != "__metadata__" and e["dtype"] not in ("F32", "I64")]  # I64: positions
    if other:
        raise SystemExit(f"{folder}: {other[0]} has type {header[other[0]]['dtype']}, expected F32")
    return json.loads((folder / "config.json").read_text()), weights


def write(folder, like, config, weights):
    """A Hugging Face folder with these weights and the tokenizer of the folder `like`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(like) / file, folder / file)
    (folder / "config.json").write_text(json.dumps(config))
    header, offset = {}, 0
    for name, w in weights.items():
        header[name] = {"dtype": "F32", "shape": list(w.shape), "data_offsets": [offset, offset + w.size * 4]}
        offset += w.size * 4
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for w in weights.values():
            f.write(np.ascontiguousarray(w, "<f4").tobytes())


def layer_inputs(config, weights, ids, layer):
    """The inputs of the linear layers of decoder layer `layer`, as [tokens, inputs] by the end of the weight's name;
    ids [sequences, tokens]. Rotary embeddings have the half-split order of Hugging Face."""
    heads, kv = config["num_attention_heads"], config["num_key_value_heads"]
    width = config["hidden_size"] // heads
    count, length = ids.shape

    def norm(x, gain):
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + config["rms_norm_eps"]) * gain

    angle = np.outer(np.arange(length), config.get("rope_theta", 10000.0) ** (-np.arange(0, width, 2) / width))
    cos, sin = np.cos(angle).astype("f4")[:, None], np.sin(angle).astype("f4")[:, None]

    def rotary(x):
        a, b = x[..., : width // 2], x[..., width // 2:]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)

    x = weights["model.embed_tokens.weight"][ids]
    mask = np.triu(np.full((length, length), -np.inf, "f4"), 1)
    for i in range(layer + 1):
        w = {k[len(f"model.layers.{i}."):]: v for k, v in weights.items() if k.startswith(f"model.layers.{i}.")}
        h = norm(x, w["input_layernorm.weight"])
        q, k, v = (h @ w[f"self_attn.{p}_proj.weight"].T for p in "qkv")
        q = rotary(q.reshape(count, length, heads, width))
        k, v = rotary(k.reshape(count, length, kv, width)), v.reshape(count, length, kv, width)
        k, v = np.repeat(k, heads // kv, axis=2), np.repeat(v, heads // kv, axis=2)
        mixed = np.empty_like(q)
        for s in range(count):
            score = np.einsum("qhd,khd->hqk", q[s], k[s], optimize=True) / np.sqrt(np.float32(width)) + mask
            p = np.exp(score - score.max(axis=-1, keepdims=True))
            mixed[s] = np.einsum("hqk,khd->qhd", p / p.sum(axis=-1, keepdims=True), v[s], optimize=True)
        mixed = mixed.reshape(count, length, -1)
        x = x + mixed @ w["self_attn.o_proj.weight"].T
        g = norm(x, w["post_attention_layernorm.weight"])
        gate = g @ w["mlp.gate_proj.weight"].T
        inner = gate / (1 + np.exp(-gate)) * (g @ w["mlp.up_proj.weight"].T)
        x = x + inner @ w["mlp.down_proj.weight"].T
    flat = {"self_attn.q_proj.weight": h, "self_attn.o_proj.weight": mixed, "mlp.up_proj.weight": g,
            "mlp.down_proj.weight": inner}
    return {name: v.reshape(-1, v.shape[-1]) for name, v in flat.items()}


INTO_STREAM = ("self_attn.o_proj", "mlp.down_proj")
FROM_STREAM = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")


def fold_norms(config, weights):
    """The same function with all gains of norms moved into the weights behind them, and a head of its own."""
    config, w = config | {"tie_word_embeddings": False}, {k: np.array(v) for k, v in weights.items()}
    w["lm_head.weight"] = w.get("lm_head.weight", w["model.embed_tokens.weight"]) * w["model.norm.weight"]
    w["model.norm.weight"] = np.ones_like(w["model.norm.weight"])
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."
        for gain, names in (("input_layernorm", FROM_STREAM[:3]), ("post_attention_layernorm", FROM_STREAM[3:])):
            for name in names:
                w[f"{p}{name}.weight"] *= w[f"{p}{gain}.weight"]
            w[f"{p}{gain}.weight"] = np.ones_like(w[f"{p}{gain}.weight"])
    return config, w


def rotate_stream(config, weights, q):
    """The residual stream in the basis of the columns of the orthonormal q: norms without gains do not notice."""
    w = dict(weights)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        w[name] = w[name] @ q
    for i in range(config["num_hidden_layers"]):
        for name in FROM_STREAM:
            w[f"model.layers.{i}.{name}.weight"] = w[f"model.layers.{i}.{name}.weight"] @ q
        for name in INTO_STREAM:
            w[f"model.layers.{i}.{name}.weight"] = q.T @ w[f"model.layers.{i}.{name}.weight"]
    return w


def mix_values(config, weights, rng, spread):
    """The values of every head in another basis, an invertible A with log-singular values N(0, spread^2): A V, O A^-1."""
    heads, kv = config["num_attention_heads"], config["num_key_value_heads"]
    width, w = config["hidden_size"] // heads, {k: np.array(v) for k, v in weights.items()}
    for i in range(config["num_hidden_layers"]):
        v, o = (w[f"model.layers.{i}.self_attn.{p}_proj.weight"] for p in "vo")
        for h in range(kv):
            left, right = (np.linalg.qr(rng.standard_normal((width, width)))[0] for _ in range(2))
            scale = np.exp(spread * rng.standard_normal(width))
            v[h * width:(h + 1) * width] = left * scale @ right @ v[h * width:(h + 1) * width]
            for g in range(h * heads // kv, (h + 1) * heads // kv):
                o[:, g * width:(g + 1) * width] = o[:, g * width:(g + 1) * width] @ (right.T / scale @ left.T)
    return w


def scale_neurons(config, weights, scale):
    """Neuron j of every MLP with its row of `up` times scale(up, down)[j] and its column of `down` divided by it."""
    w = dict(weights)
    for i in range(config["num_hidden_layers"]):
        up, down = f"model.layers.{i}.mlp.up_proj.weight", f"model.layers.{i}.mlp.down_proj.weight"
        s = scale(w[up], w[down]).astype("f4")
        w[up], w[down] = w[up] * s[:, None], w[down] / s
    return w


def balanced(up, down):
    return np.sqrt(np.linalg.norm(down, axis=0) / np.linalg.norm(up, axis=1))
