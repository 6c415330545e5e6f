#!/usr/bin/env python3
"""Which metric of the errors of a tensor predicts what they cost on other texts.

    metric.py MODEL.gguf TEXT CALIBRATION [LAYER...]

Gradients of one sampled label a token (src/calibration/fisher.h) of 32 sequences of CALIBRATION make metrics G (x) H;
errors E = G^-1/2 Z H^-1/2 with white Z, det G = det H = 1, have the same rate whatever the metric is, at high rates.
Printed: their mean loss sum over sequences (sum_s g_s^T E x_s)^2 on 12 sequences of TEXT and 8 of the end of
CALIBRATION, relative to the diagonal of G (exact, by sequence) and plain H. Needs torch, transformers, gguf,
accelerate; 6 GB of memory for five layers.
"""
import os
import sys

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

CONTEXT = 512
DAMPING = 0.03  # of H


def sequences(tokenizer, text, count):
    step = len(text) // count
    out = [tokenizer(text[i * step : i * step + 8000], add_special_tokens=False)["input_ids"] for i in range(count)]
    return [ids[:CONTEXT] for ids in out if len(ids) >= CONTEXT]


def watch(model, layers):
    """Hooks that keep inputs and output gradients of the linear layers of the last backward pass."""
    now = {}
    for layer in layers:
        block = model.model.layers[layer]
        parts = {**{n[0]: getattr(block.self_attn, n) for n in ("q_proj", "k_proj", "v_proj", "o_proj")},
                 **{n: getattr(block.mlp, n + "_proj") for n in ("gate", "up", "down")}}
        for part, module in parts.items():
            def hook(_, inputs, output, name=f"{layer}.{part}"):
                now[name] = [inputs[0].detach()[0].numpy().copy(), None]
                output.register_hook(lambda g: now[name].__setitem__(1, g.detach()[0].numpy().copy()))
            module.register_forward_hook(hook)
    return now


def gradients(model, now, texts):
    found = {}
    for ids in texts:
        logits = model(torch.tensor([ids])).logits[0]
        labels = torch.multinomial(torch.softmax(logits.detach(), -1), 1)[:, 0]
        torch.nn.functional.cross_entropy(logits, labels, reduction="sum").backward()
        model.zero_grad(set_to_none=True)
        for name, (x, g) in now.items():
            found.setdefault(name, []).append((x, g))
    return found


def root(metric):
    """A with A A^T = metric^-1, the metric scaled to determinant 1."""
    values, vectors = np.linalg.eigh(metric.astype(np.float64))
    values = np.maximum(values, values.max() * 1e-12)
    return (vectors / np.sqrt(values / np.exp(np.log(values).mean()))).astype(np.float32)


def damped(h):
    return h + DAMPING * np.trace(h) / len(h) * np.eye(len(h), dtype=h.dtype)


def metrics(train):
    x, g = (np.concatenate([t[i] for t in train]) for i in (0, 1))
    exact = sum((g_s.T @ x_s) ** 2 for x_s, g_s in train).sum(1)
    diagonal = root(np.diag(exact + 1e-3 * exact.mean()))
    h = x.T @ x / len(x)
    energy = (g**2).sum(1)
    mixed = h / np.trace(h)
    weighted = (x * energy[:, None]).T @ x
    mixed = root(damped(0.5 * mixed + 0.5 * weighted / np.trace(weighted)))
    plain = root(damped(h))

    def full(part):
        c = part.T @ part / len(part)
        return root(c + 0.5 * np.diag(np.diag(c)))

    half = full(np.concatenate([g_s for _, g_s in train[::2]]))
    return {"diagonal": (diagonal, plain), "rows, half the sequences": (half, plain), "rows": (full(g), plain),
            "tokens": (diagonal, mixed), "both": (full(g), mixed)}


def main():
    path, text, calibration = sys.argv[1:4]
    layers = [int(a) for a in sys.argv[4:]] or [1, 8, 15, 22, 28]
    torch.manual_seed(1)
    folder, name = os.path.split(path)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    for p in model.parameters():
        p.requires_grad_(False)
    model.model.embed_tokens.weight.requires_grad_(True)  # so that gradients flow
    now = watch(model, layers)
    with open(text) as f, open(calibration) as c:
        text, calibration = f.read(), c.read()
    train = gradients(model, now, sequences(tokenizer, calibration[:-400000], 32))
    tests = [gradients(model, now, sequences(tokenizer, t, n)) for t, n in ((text, 12), (calibration[-400000:], 8))]
    for name in train:
        made = metrics(train[name])
        loss = {m: [sum(((a.T @ (g.T @ x) @ b) ** 2).sum() for x, g in test[name]) for test in tests]
                for m, (a, b) in made.items()}
        base = loss.pop("diagonal")
        print(name, *(f"{m}: {v[0] / base[0]:.3f} {v[1] / base[1]:.3f};" for m, v in loss.items()), flush=True)


if __name__ == "__main__":
    main()
