#!/usr/bin/env python3
"""Keys and values of a model: how they are distributed, and what they cost.

    analyze.py OCC FOLDER OUT.csv

FOLDER has keys-LAYER.npy and values-LAYER.npy [tokens, channels] as kv_activations writes them. For every matrix:

    kurtosis   mean of (x - m)^4 over var^2, 3 for normal values
    top 5      share of sum x^2 that is in the five channels (columns) with the largest sums
    max / rms  largest |x| over the root of the mean x^2
    nmse       `auto` at 2, 3, 4 bits; `trellis`, `lloyd` and `rtn` in files at most as large; `rtn` also of the transposed
               matrix, which gives a scale to every channel in place of every token

OUT.csv has a line per matrix; the table on stdout has means over the layers.
"""
import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

BITS = (2, 3, 4)


def statistics(x):
    x = x.astype(np.float64)
    centered = x - x.mean()
    energy = np.sort((x**2).sum(axis=0))[::-1]
    return {
        "kurtosis": (centered**4).mean() / (centered**2).mean() ** 2,
        "top5": energy[:5].sum() / energy.sum(),
        "max_over_rms": np.abs(x).max() / np.sqrt((x**2).mean()),
    }


def occ(*arguments):
    done = subprocess.run([sys.argv[1], *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"occ {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def nmse(source, archive, *how):
    occ("compress", source, "-o", archive, *how, "--force", "--no-sync", "--quiet")
    return json.loads(occ("compare", source, archive, "--json"))["total"]["nmse"]


def errors(path, scratch):
    archive, turned = scratch / "x.occ", scratch / "turned.npy"
    np.save(turned, np.ascontiguousarray(np.load(path).T))
    out = {}
    for bits in BITS:
        out[f"auto-{bits}"] = nmse(path, archive, "--bits", bits)
        size = os.path.getsize(archive)
        for method in ("trellis", "lloyd", "rtn"):
            out[f"{method}-{bits}"] = nmse(path, archive, "--method", method, "--size", size)
        out[f"rtn-channels-{bits}"] = nmse(turned, archive, "--method", "rtn", "--size", size)
    return out


def main():
    folder = pathlib.Path(sys.argv[2])
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(folder.glob("*-[0-9][0-9].npy")):
            kind, layer = path.stem.split("-")
            x = np.load(path)
            lines.append({"kind": kind, "layer": int(layer), **statistics(x), **errors(path, pathlib.Path(scratch))})
            print(path.stem, file=sys.stderr)
    with open(sys.argv[3], "w", newline="") as out:
        table = csv.DictWriter(out, lines[0], lineterminator="\n")
        table.writeheader()
        for line in lines:
            table.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in line.items()})

    mean = {
        kind: {k: float(np.mean([x[k] for x in lines if x["kind"] == kind])) for k in lines[0] if k != "kind"}
        for kind in ("keys", "values")
    }
    print("| | kurtosis | top 5 channels | max / rms |\n|---|---|---|---|")
    for kind, m in mean.items():
        print(f"| {kind} | {m['kurtosis']:.1f} | {m['top5']:.1%} | {m['max_over_rms']:.1f} |")
    print("\n| nmse at | bits of `auto` | `auto` | `trellis` | `lloyd` | `rtn` | `rtn`, scale by channel |\n|" + "---|" * 7)
    for kind, m in mean.items():
        for b in BITS:
            names = ("auto", "trellis", "lloyd", "rtn", "rtn-channels")
            print(f"| {kind} | {b} | " + " | ".join(f"{m[f'{n}-{b}']:.4f}" for n in names) + " |")


main()
