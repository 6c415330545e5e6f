#!/usr/bin/env python3
"""Figures and tables of this experiment from its records, and a miniature of the measurements.

    figures.py               writes *.svg and the tables of README.md anew
    figures.py --check OCC   exit status 1 if they are not what the records say, or if the miniature fails; seconds
"""
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parent / "theory")]
import common
import coordinates as co
import local_axes
import measure as me
import svg_plot
from common import number, table

MOST_SIDE_BITS = 2  # per weight: nobody would pay more
KINDS = ("embeddings", "queries", "keys", "values", "queries, keys, values", "keys, values", "attention out", "gate", "up", "down")


def mean(rows, key, weight="elements"):
    """Mean over tensors by their numbers of weights; None where no row has the figure."""
    found = [(r[weight], r[key]) for r in rows if r[key] != ""]
    return sum(w * v for w, v in found) / sum(w for w, _ in found) if found else None


def shown(value, digits=3):
    return "" if value is None else number(value, digits)


def groups(rows):
    """{(model, inputs, kind): rows}, models in the order of the record."""
    out = {}
    for r in rows:
        out.setdefault((r["model"], r["inputs"], r["kind"]), []).append(r)
    order = {m: i for i, m in enumerate(dict.fromkeys(r["model"] for r in rows))}
    rank = {k: i for i, k in enumerate(KINDS)}
    return dict(sorted(out.items(), key=lambda e: (order[e[0][0]], e[0][1] == "known", rank.get(e[0][2], 99))))


def label(model, inputs, kind=""):
    return f"{model}{', inputs known' if inputs == 'known' else ''}{': ' + kind if kind else ''}"


def pages():
    rows, local = common.read_csv(HERE / "tensors.csv"), common.read_csv(HERE / "local.csv")
    svg, tables, found = {}, {}, groups(rows)
    models = list(dict.fromkeys((r["model"], r["inputs"]) for r in rows))
    systems = ("hadamard", "dct", "lowrank", "center", "local_pca", "pca(block=16)", "pca", "pca(of=hessian)")
    of = {m: [r for r in rows if (r["model"], r["inputs"]) == m] for m in models}
    tables["models"] = table(
        ["model", "tensors", "bits as stored", "saved by the best system of each"] + [f"saved by `{s}`" for s in systems],
        [[label(*m), len(of[m]), number(mean(of[m], "bits"), 2), number(mean(of[m], "saved"))] +
         [shown(mean(of[m], f"{s} saved")) + coded(of[m], s) for s in systems] for m in models])
    tables["kinds"] = table(
        ["model: kind", "tensors", "kurtosis as stored", "rotated", "max / rms as stored", "rotated", "coding gain as stored", "rotated",
         "bits saved by rotation: mean", "least", "most", "best systems"],
        [[label(*g), len(r)] + [shown(mean(r, f"{s} {key}"), d) for key, d in (("kurtosis", 1), ("max_over_rms", 1), ("coding_gain", 3))
                                for s in ("identity", "hadamard")] +
         [number(v) for v in (mean(r, "hadamard saved"), min(x["hadamard saved"] for x in r), max(x["hadamard saved"] for x in r))] +
         [", ".join(f"{s} {sum(x['best'] == s for x in r)}" for s in dict.fromkeys(x["best"] for x in sorted(r, key=lambda x: x["best"])))]
         for g, r in found.items()])
    tables["hessian"] = table(
        ["model: kind", "bits, inputs known", "saved by rotation", "by `dct`", "coding gain as stored", "rotated", "in the eigenbasis of the inputs",
         "top 10 % as stored", "in the eigenbasis"],
        [[label(g[0], "", g[2])] + [shown(mean(r, k)) for k in
         ("bits", "hadamard saved", "dct saved", "identity coding_gain", "hadamard coding_gain", "pca(of=hessian) coding_gain",
          "identity top_10", "pca(of=hessian) top_10")] for g, r in found.items() if g[1] == "known"])
    panels = []
    for m in models:
        series = {}
        for k in KINDS:
            points = [(r["layer"], r["hadamard saved"]) for r in of[m] if r["kind"] == k and r["layer"] != "" and r["hadamard saved"] != ""]
            if points:
                series[k] = sorted(points)
        if len(of[m]) > 1 and series and not m[0].startswith("inputs"):
            single = all(len({x for x, _ in points}) == len(points) for points in series.values())
            panels.append(svg_plot.Panel(label(*m), "layer", "bits saved by rotation", series, lines=single))
    svg["depth"] = svg_plot.svg(panels)
    scatter = []
    for m in models:
        for x, name in (("identity kurtosis", "kurtosis as stored"), ("identity coding_gain", "coding gain as stored, bits")):
            points = sorted((r[x], r["hadamard saved"]) for r in of[m] if r["hadamard saved"] != "")
            scatter.append((name, label(*m), points))
    svg["predicts"] = svg_plot.svg([svg_plot.Panel("what tells what a rotation costs", name, "bits saved by rotation",
                                                   {l: p for n, l, p in scatter if n == name}, xlog=True, lines=False)
                                    for name in ("kurtosis as stored", "coding gain as stored, bits")])
    tables["predicts"] = table(
        ["model", "kurtosis as stored", "coding gain as stored", "entropy as stored - rotated"],
        [[label(*m)] + [number(common.spearman([f(r) for r in of[m]], [r["hadamard saved"] for r in of[m]]), 2) for f in
         (lambda r: r["identity kurtosis"], lambda r: r["identity coding_gain"], lambda r: r["identity entropy"] - r["hadamard entropy"])]
         for m in models if len(of[m]) > 3])

    by = {}
    for r in local:
        if r["side_bpw"] <= MOST_SIDE_BITS:
            by.setdefault((r["tensor"] if r["model"] == "control" else r["model"], r["kind"]), {}).setdefault(r["axes"], []).append(r)
    lines, bars = [], []
    for (model, k), cells in by.items():
        name = model if k == "other" else f"{model}: {k}"
        axes = 3 if 3 in cells else 1
        for r in (cells.values() if k == "other" else [cells[axes]]):
            average = {key: sum(x[key] for x in r) / len(r) for key in ("side_bpw", "left_global", "left_local", "bits_global", "bits_local")}
            lines.append([name, len(r), f"{r[0]['axes']:g}", number(average["side_bpw"])] +
                         [number(average[key]) for key in ("left_global", "left_local", "bits_global", "bits_local")] +
                         [number(average["bits_global"] - average["bits_local"]),
                          number(max(x["bits_global"] - x["bits_local"] for x in r))])
        bars.append((name, {"mean over tensors": sum(x["bits_global"] - x["bits_local"] for x in cells[axes]) / len(cells[axes])}))
    tables["local"] = table(
        ["matrices", "number", "axes of each of 8 clusters", "side information, bpw", "energy left: global", "local", "bits: global", "local",
         "saved by local axes", "at most"], lines)
    svg["local"] = svg_plot.bars("Bits per weight that 8 local systems save against one with as much side information",
                                 "bits per weight", bars)
    return {HERE / f"{k}.svg": v for k, v in svg.items()}, tables


def coded(rows, system):
    count = sum(r[f"{system} saved"] != "" for r in rows)
    return "" if count == len(rows) else f" ({count:g} coded)" if count else "none coded"


def miniature(occ):
    """[what failed]"""
    rng, bad = np.random.default_rng(1), []

    def expect(what, holds):
        if not holds:
            bad.append(what)

    for name, kind, layer in (("model.layers.3.self_attn.q_proj.weight", "queries", 3), ("blk.11.ffn_down.weight", "down", 11),
                              ("encoder.layer.2.attention.output.dense.weight", "attention out", 2), ("token_embd.weight", "embeddings", ""),
                              ("encoder.layer.2.output.dense.weight", "down", 2), ("decoder.layer_4.ffn.linear_0.weight", "up", 4)):
        expect(f"kind of {name}", (me.kind(name), me.layer(name)) == (kind, layer))
    with tempfile.TemporaryDirectory() as scratch:
        columns = np.exp(rng.uniform(-1.5, 1.5, 128))
        arrays = {"columns": rng.standard_normal((384, 128)) * columns, "wave": co.ar1(384, 128, 0.95, rng),
                  "peaks": rng.standard_normal((384, 128)) * np.where(rng.random((384, 128)) < 0.02, 8, 1)}
        np.savez(Path(scratch) / "x.npz", **{k: v.astype("f4") for k, v in arrays.items()})
        report = me.analysis(occ, scratch, "x", Path(scratch) / "x.npz")
        rows = {r["tensor"]: r for r in me.tensor_rows("x", "unknown", report)}
        again = me.analysis(occ, scratch, "x", "a file that is not there")
        expect("a finished analysis is not repeated", again == report)
    expect("a rotation hides sizes of columns from the entropy coder", rows["columns"]["hadamard saved"] < -0.2)
    expect("and flattens peaks, which costs bits as well",
           rows["peaks"]["hadamard kurtosis"] < 3.5 < 8 < rows["peaks"]["identity kurtosis"] and rows["peaks"]["hadamard saved"] < -0.1)
    expect("the DCT concentrates a wave", rows["wave"]["dct saved"] > 1.2 and rows["wave"]["best"] in ("dct", "pca(block=16)"))
    sheet, noise = (local_axes.compare(x, np.random.default_rng(1)) for x in
                    (co.curved_sheet(1024, 48, rng), rng.standard_normal((1024, 48))))
    expect("local axes save on a curved sheet", sheet[1]["bits_global"] - sheet[1]["bits_local"] > 0.1)
    expect("and nothing on noise", abs(noise[1]["bits_global"] - noise[1]["bits_local"]) < 0.03)
    value = local_axes.spectrum(np.random.default_rng(1).standard_normal((40, 64)))
    expect("spectra of few rows", len(value) == 64 and (value[39:] < 1e-9 * value[0]).all())
    expect("bits of white noise", abs(local_axes.rate([(1000, np.full(16, 1000.0))], 3, 1 / 16, 16) - 2) < 1e-3)
    return bad


if __name__ == "__main__":
    sys.exit(common.figures_main(__doc__, pages, HERE, miniature))
