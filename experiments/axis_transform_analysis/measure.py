#!/usr/bin/env python3
"""Coordinate systems of every weight matrix: writes *.csv beside this file, which figures.py turns into figures and tables.

    measure.py OCC OUT TEXT NAME=MODEL[@GLOB] ...

OCC: the program. OUT: a folder for finished tensors; what is there is not measured again. TEXT: what models read where the
inputs of their layers are to be known (language models and encoders; others are measured without). NAME=MODEL:
anything that `occ analyze` reads; with @GLOB only tensors whose name matches. Of a model named smollm2 the inputs of some layers are analysed as matrices, too.
"""
import json
import re
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parent / "theory")]
import common
import coordinates as co
import local_axes
import models

SEED, TOKENS, ACTIVATION_LAYERS, ACTIVATION_TOKENS = 1, 8192, (0, 15), 2048
# Kinds of tensors by their names in Hugging Face's forms of Llama and BERT, in GGUF and in CTranslate2; the first that fits.
KINDS = {"embeddings": r"embed|token_embd|encodings", "queries, keys, values": r"self_attention\.linear_0|attn_qkv",
         "queries": r"q_proj|query|attn_q\b|attention\.linear_0", "keys": r"k_proj|attention\.self\.key|attn_k\b",
         "values": r"v_proj|value|attn_v\b", "keys, values": r"\.attention\.linear_1",
         "attention out": r"o_proj|attention\.output|attn_output|attention\.linear_\d", "gate": r"gate",
         "up": r"up_proj|intermediate|ffn_up|ffn\.linear_0", "down": r"down_proj|\d\.output\.dense|ffn_down|ffn\.linear_1"}
SYSTEMS = ("hadamard", "dct", "dct(axis=out)", "pca", "pca_columns", "pca(block=16)", "local_pca", "pca(of=hessian)", "lowrank", "center",
           "rowscale")
FIGURES = {"identity": ("max_over_rms", "beyond_3_sigma", "kurtosis", "top_10", "coding_gain", "entropy"),
           "hadamard": ("max_over_rms", "beyond_3_sigma", "kurtosis", "top_10", "coding_gain", "entropy"),
           "pca(block=16)": ("kurtosis", "top_10", "coding_gain"), "local_pca": ("kurtosis", "top_10", "coding_gain"),
           "pca(of=hessian)": ("kurtosis", "top_10", "coding_gain"), "pca": ("top_10", "coding_gain")}


def kind(name):
    return next((k for k, pattern in KINDS.items() if re.search(pattern, name)), "other")


def layer(name):
    found = re.search(r"(?:layers?|blk|h)[._](\d+)", name)
    return int(found[1]) if found else ""


def analysis(occ, out, name, model, *how):
    """The document of `occ analyze`; finished tensors are kept in OUT."""
    done = Path(out) / f"{name}.json"
    if not done.exists():
        text = occ.run("analyze", model, "--resume", Path(out) / f"{name}.resume", "--json", *how)
        done.write_text(text)
    return json.loads(done.read_text())


def tensor_rows(model, inputs, report):
    """A line for each tensor: bits in its own coordinates, what every system saves, how values lie in some of them."""
    rows = []
    for t in report["tensors"]:
        if t["rows"] < 2:
            continue  # a vector
        found = {s["name"].split("(rank")[0]: s for s in t["systems"]}
        row = {"model": model, "inputs": inputs, "tensor": t["name"], "kind": kind(t["name"]), "layer": layer(t["name"]),
               "rows": t["rows"], "elements": t["elements"], "error": t["error"], "bits": found["identity"]["bits"],
               "best": t["best"].split("(rank")[0], "saved": t["saved_bits"]}
        for s in SYSTEMS:
            bits = found.get(s, {}).get("bits")
            row[f"{s} saved"] = "" if bits is None else row["bits"] - bits
        for s, keys in FIGURES.items():
            for key in keys:
                row[f"{s} {key}"] = found[s][key] if s in found else ""
        rows.append({k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in row.items()})
    return rows


def local_rows(name, matrices):
    rows = []
    for tensor, x in matrices:
        if x.ndim >= 2 and len(x) > 4 * local_axes.CLUSTERS:
            for line in local_axes.compare(x.reshape(len(x), -1), np.random.default_rng(SEED)):
                rows.append({"model": name, "tensor": tensor, "kind": kind(tensor), "layer": layer(tensor), "rows": len(x),
                             "cols": x[0].size} | line)
    return rows


def controls():
    """What theory knows: noise and a curved sheet."""
    rng = np.random.default_rng(SEED)
    yield "normal", rng.standard_normal((1536, 384))
    yield "curved sheet", co.curved_sheet(4096, 64, rng)


def activations(occ, text, model, scratch):
    """Inputs of the layers of a Llama on a text."""
    folder = Path(scratch) / "model"
    occ.run("decompress", model, "-o", folder, "--dtype", "f32", "--no-sync", "--force")
    config, weights = models.read(folder)
    part = Path(scratch) / "text.txt"
    part.write_bytes(Path(text).read_bytes()[:40000])
    ids = np.array(occ.json("tokenize", folder, "--text", part)["tokens"])[:ACTIVATION_TOKENS].reshape(-1, 256)
    for i in ACTIVATION_LAYERS:
        for name, x in models.layer_inputs(config, weights, ids, i).items():
            yield f"layers.{i}.{name}", x


def main():
    if len(sys.argv) < 5:
        raise SystemExit(__doc__)
    occ, out, text = common.Occ(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    out.mkdir(parents=True, exist_ok=True)
    tensors, local = [], local_rows("control", controls())
    for argument in sys.argv[4:]:
        name, model = argument.split("=", 1)
        model, _, glob = model.partition("@")
        some = ["--tensor", glob] if glob else []
        tensors += tensor_rows(name, "unknown", analysis(occ, out, name, model, *some))
        with tempfile.TemporaryDirectory() as scratch:
            values = Path(scratch) / "values.safetensors"
            occ.run("decompress", model, "-o", values, "--dtype", "f32", "--no-sync")
            names = {t["tensor"] for t in tensors if t["model"] == name}
            local += local_rows(name, ((k, x) for k, x in common.read_safetensors(values)[1].items() if k in names))
            if Path(model).suffix != ".safetensors":  # a whole model, which can read a text
                tensors += tensor_rows(name, "known", analysis(occ, out, f"{name}-known", model, *some, "--calibrate",
                                                               text, "--calibration-tokens", TOKENS))
            if name == "smollm2":
                inputs = [(k, np.array(x)) for k, x in activations(occ, text, model, scratch)]
                local += local_rows("inputs of smollm2", inputs)
                for tensor, x in inputs:
                    np.save(Path(scratch) / "x.npy", x)
                    report = analysis(occ, out, f"inputs-{tensor}", Path(scratch) / "x.npy")
                    report["tensors"][0]["name"] = tensor
                    tensors += tensor_rows("inputs of smollm2", "unknown", report)
        print(name, file=sys.stderr)
    common.write_csv(HERE / "tensors.csv", tensors)
    common.write_csv(HERE / "local.csv", local)


if __name__ == "__main__":
    main()
