#!/usr/bin/env python3
"""Figures and tables of docs/theory from the records in this folder, and a miniature of the measurements.

    figures.py            writes docs/theory/*.svg and the tables in docs/theory/*.md anew
    figures.py --check    exit status 1 if they are not what the records say, or if the theory fails on small synthetic data
"""
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent))
import common
import coordinates as co
import models
from common import number, table
from svg_plot import bars

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent.parent / "docs/theory"


def read(part):
    return common.read_csv(HERE / f"{part}.csv")


def by_system(rows):
    found = {}
    for row in rows:
        found.setdefault(row["matrix"], {})[row["system"]] = row
    return found


def pages():
    """({name of an SVG: text}, {name of a table: text}) from the records."""
    svg, tables = {}, {}
    rows = read("operator")
    forms = {}
    for r in rows:
        forms.setdefault(r["form"], []).append(r)
    svg["operator_view"] = bars("One function, five sets of weights: loss at 4 bits (stories260k, seed 1)", "KL from the original, nats",
                                [(f, {"auto, 4.0 bits": g[0]["auto_kl"], "rtn, 4.8 bits": g[0]["rtn_kl"]}) for f, g in forms.items()],
                                log=True)

    def span(g, key, digits=3):
        values = sorted({number(r[key], digits) for r in g}, key=float)
        return values[0] if len(values) == 1 else f"{values[0]} - {values[-1]}"

    tables["operator"] = table(
        ["form", "weights moved", "KL before coding", "`auto`: nmse", "KL", "`rtn`: nmse", "KL"],
        [[f, span(g, "weights_moved"), f"{max(r['kl_before'] for r in g):.0e}", span(g, "auto_nmse", 4), span(g, "auto_kl"),
          span(g, "rtn_nmse", 4), span(g, "rtn_kl")] for f, g in forms.items()])

    found = by_system(read("coordinates"))
    svg["coordinate_relative_outliers"] = bars(
        "The largest weight in units of the rms, by coordinate system", "max / rms",
        [(m, {"as stored": s["identity"]["max_over_rms"], "signs > hadamard": s["signs > hadamard"]["max_over_rms"],
              "the same, rows of equal rms": s["signs > hadamard"]["unit_rows_max"]}) for m, s in found.items()], log=True)
    tables["outliers"] = table(
        ["matrix", "as stored: max / rms", "kurtosis", "beyond 3 sigma, %", "rotated: max / rms", "kurtosis", "beyond, %",
         "rotated, equal rows: max / rms", "kurtosis"],
        [[m] + [number(s[k][c] * f, d) for k in ("identity", "signs > hadamard")
                for c, f, d in (("max_over_rms", 1, 1), ("kurtosis", 1, 2), ("beyond_3_sigma", 100, 2))] +
         [number(s["signs > hadamard"]["unit_rows_max"], 1), number(s["signs > hadamard"]["unit_rows_kurtosis"], 2)]
         for m, s in found.items()])
    others = ("signs > hadamard", "dct", "pca")
    svg["rotation_vs_alignment"] = bars(
        "Bits per weight saved at equal error against the coordinates as stored, all bytes counted", "bits per weight",
        [(m, {f"rotated, {c}": s["identity"][f"{k}_gap"] - s["signs > hadamard"][f"{k}_gap"]
              for k, c in (("trellis", "entropy coded"), ("lloyd", "fixed width"))} |
          {"best of dct and pca, entropy coded": max(s["identity"]["trellis_gap"] - s[o]["trellis_gap"]
                                                     for o in ("dct", "pca") if s[o]["trellis_gap"] != "")}) for m, s in found.items()])
    tables["rotation"] = table(
        ["matrix", "gap as stored"] + [f"saved by {o}" for o in others] + ["fixed width: gap as stored", "saved by signs > hadamard"],
        [[m, number(s["identity"]["trellis_gap"])] +
         [number(s["identity"]["trellis_gap"] - s[o]["trellis_gap"]) if s[o]["trellis_gap"] != "" else "kept" for o in others] +
         [number(s["identity"]["lloyd_gap"]), number(s["identity"]["lloyd_gap"] - s["signs > hadamard"]["lloyd_gap"])]
         for m, s in found.items()])

    rows = [r for r in read("order") if r["axis"] == "columns" or "positions" in r["matrix"] or "15.self_attn.q" in r["matrix"]]
    tables["order"] = table(
        ["matrix, axis", "length", "as stored", "`dct`", "shuffled first", "signs first", "`hadamard`", "shuffled first", "signs first"],
        [[f"{r['matrix']}, {r['axis']}", f"{r['length']:.0f}"] +
         [number(r[k]) for k in ("identity", "dct", "dct_shuffled", "dct_signs", "hadamard", "hadamard_shuffled", "hadamard_signs")]
         for r in rows])

    rows = read("manifold")

    def saved(r, kind, which):
        return r[f"{kind}{which}_1"] - min(r[f"{kind}{which}_4"], r[f"{kind}{which}_16"])

    svg["manifold_alignment"] = bars(
        "Bits per weight that 4 or 16 local bases save against one basis at equal error", "bits per weight",
        [(r["matrix"], {"matrix, bases charged": saved(r, "", "bits"), "matrix, bases free": saved(r, "", "free"),
                        "Gaussian twin, bases free": saved(r, "surrogate_", "free")}) for r in rows])
    tables["manifold"] = table(
        ["matrix", "rows", "cols", "TwoNN dimension", "of its Gaussian twin", "one basis, charged: bits", "saved by local bases, charged",
         "free", "Gaussian twin, free", "saved by a parent row, charged", "Gaussian twin"],
        [[r["matrix"], f"{r['rows']:.0f}", f"{r['cols']:.0f}", number(r["two_nn"], 1), number(r["surrogate_two_nn"], 1),
          number(r["bits_1"]), number(saved(r, "", "bits")), number(saved(r, "", "free")), number(saved(r, "surrogate_", "free")),
          number(r["kin"]), number(r["surrogate_kin"])] for r in rows])

    rows = read("metric")
    codes = {"plain": "weights only", "feedback": "feedback, steps by column", "rotated": "the same after signs > hadamard",
             "eigenbasis": "eigenbasis, basis not counted"}

    def bits(r, k, step=0.5):
        return r[f"{k}_{step}_bits_without_basis"]

    svg["rate_distortion"] = bars(
        "Bits per weight that knowing the inputs saves at equal error of the outputs (SmolLM2, step .5)", "bits per weight",
        [(r["matrix"], {c: bits(r, "plain") - bits(r, k) for k, c in codes.items() if k != "plain" and bits(r, k) != ""}) for r in rows])
    tables["metric"] = table(
        ["matrix", "gain by theory", "of it by steps", "weights only: bpw", "weighted nmse", "feedback, steps: bpw", "weighted nmse", "saved",
         "saved, rotated too", "saved in the eigenbasis, basis not counted", "the basis: bpw"],
        [[r["matrix"], number(r["gain_eigenvalues"]), number(r["gain_innovations"])] +
         [number(r[f"{k}_{step}_{c}"], 4 if c == "weighted" else 2) for k in ("plain", "feedback") for c in ("bpw", "weighted")] +
         [number(bits(r, "plain", step) - bits(r, k, step)) if bits(r, k, step) != "" else "kept" for k in ("feedback", "rotated", "eigenbasis")] +
         [number(16 * r["cols"] / r["rows"], 1)] for step in (0.5, 0.25) for r in rows])
    found = {}
    for r in read("asymmetric"):
        found.setdefault((r["matrix"], r["per"]), {})[r["system"]] = r
    tables["asymmetric"] = table(
        ["matrix, scale per"] + [c for s in ("as stored", "`signs > hadamard`", "`dct`", "`pca`") for c in (f"{s}: gap", "saved by zero points")],
        [[f"{m}, {per}"] + [number(v) for s in ("identity", *others)
                            for v in (g[s]["symmetric_gap"], g[s]["symmetric_gap"] - g[s]["asymmetric_gap"])] for (m, per), g in found.items()])
    return svg, tables


def documents(check):
    """Writes the figures and tables; with check, tells which differ instead."""
    svg, tables = pages()
    return common.publish({DOCS / f"{name}.svg": text for name, text in svg.items()}, tables, sorted(DOCS.glob("*.md")), check,
                          "experiments/theory/figures.py")


def theory():
    """The statements of docs/theory on synthetic data, seed 1: [what failed]."""
    rng, bad = np.random.default_rng(1), []

    def expect(what, holds):
        if not holds:
            bad.append(what)

    x = rng.standard_normal((256, 128))
    x[3, 5] = 80
    y = co.systems(x, rng)["signs > hadamard"]
    expect("a rotation keeps inner products of rows", np.allclose(x @ x.T, y @ y.T))
    expect("a rotation flattens an outlier of one coordinate",
           co.max_over_rms(x) > 25 and np.abs(y[3]).max() < 1.6 * np.abs(np.linalg.norm(x[3]) / np.sqrt(128)))
    expect("a rotation cannot flatten rows of unequal size", co.kurtosis(y) > 5 > 3.3 > co.kurtosis(co.unit_rows(y)))
    expect("the rotation that undoes it makes the outlier again", co.max_over_rms(y @ co.hadamard(128).T) > 25)

    a = co.ar1(2000, 128, 0.95, rng)
    expect("the DCT nearly reaches the gain of AR(1)", abs(co.column_gain(a @ co.dct(128)) + 0.5 * np.log2(1 - 0.95**2)) < 0.06)
    expect("Walsh-Hadamard concentrates ordered data", co.column_gain(a @ co.hadamard(128)) > 1.2)
    expect("not after random signs", co.column_gain(a * rng.choice([-1, 1], 128) @ co.hadamard(128)) < 0.15)
    expect("shuffling ends what a DCT finds", co.column_gain(a[:, rng.permutation(128)] @ co.dct(128)) < 0.5)
    expect("PCA is the best of all", co.column_gain(a @ co.pca(a)) >= co.column_gain(a @ co.dct(128)))

    for sheet, data in ((True, co.curved_sheet(1500, 32, rng)), (False, rng.standard_normal((1500, 32)))):
        error = 0.0625 * (data**2).mean()
        one = co.piecewise_rate(data, np.zeros(len(data), int), error)
        local = co.piecewise_rate(data, co.clusters(data, 8, np.random.default_rng(1)), error)
        expect(f"local bases {'save' if sheet else 'cost'} on {'a curved sheet' if sheet else 'normal values'}",
               one - local > 0.1 if sheet else one - local < 0)
    strong = rng.standard_normal((4000, 32)) * np.repeat([4.0, 1.0], [4, 28])
    expect("one basis costs its four axes and reverse water-filling",
           abs(co.piecewise_rate(strong, np.zeros(4000, int), 0.1) - 16 * 5 / 4000 -
               co.water_filling(np.repeat([16.0, 1.0], [4, 28]), 0.1)) < 0.01)
    expect("TwoNN tells a sheet from its Gaussian twin",
           2 * co.two_nn(co.curved_sheet(1000, 32, rng, 0.02), rng) < co.two_nn(rng.standard_normal((1000, 32)), rng))

    expect("reverse water-filling of equal variances", abs(co.water_filling(np.ones(8), 0.0625) - 2) < 1e-6)
    v = np.exp(rng.standard_normal(64))
    expect("at high rate water-filling saves the coding gain",
           abs(0.5 * np.log2(v.mean() / 1e-3) - co.water_filling(v, 1e-3) - co.coding_gain(v)) < 1e-6)
    h = np.cov(rng.standard_normal((40, 200)))
    geometric = np.log2(np.diag(np.linalg.cholesky(h)) ** 2).mean()
    expect("innovations and eigenvalues have one geometric mean", abs(geometric - np.log2(np.linalg.eigvalsh(h)).mean()) < 1e-9)

    config = {"hidden_size": 16, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2, "rms_norm_eps": 1e-5,
              "tie_word_embeddings": True}
    shapes = {"self_attn.q_proj": (16, 16), "self_attn.k_proj": (8, 16), "self_attn.v_proj": (8, 16), "self_attn.o_proj": (16, 16),
              "mlp.gate_proj": (24, 16), "mlp.up_proj": (24, 16), "mlp.down_proj": (16, 24)}
    w = {"model.embed_tokens.weight": rng.standard_normal((10, 16)), "model.norm.weight": rng.uniform(0.5, 2, 16)}
    for i in range(2):
        w |= {f"model.layers.{i}.{k}.weight": 0.3 * rng.standard_normal(s) for k, s in shapes.items()}
        w |= {f"model.layers.{i}.{k}.weight": rng.uniform(0.5, 2, 16) for k in ("input_layernorm", "post_attention_layernorm")}
    ids = rng.integers(0, 10, (2, 6))

    def neurons(c, weights):
        """The products of the last layer's neurons with their columns of `down`, which every equivalent form shares."""
        down = weights["model.layers.1.mlp.down_proj.weight"]
        return models.layer_inputs(c, weights, ids, 1)["mlp.down_proj.weight"] * np.linalg.norm(down, axis=0)

    before = neurons(config, w)
    c, folded = models.fold_norms(config, w)
    q = np.linalg.qr(rng.standard_normal((16, 16)))[0]
    for form, changed in (("folded norms", folded), ("a rotated stream", models.rotate_stream(c, folded, q)),
                          ("mixed values", models.mix_values(c, folded, rng, 1.0)),
                          ("balanced neurons", models.scale_neurons(c, folded, models.balanced))):
        expect(f"{form} leave the function as it is", np.allclose(neurons(c, changed), before, rtol=1e-4, atol=1e-5))
    return bad


def main():
    check = "--check" in sys.argv[1:]
    bad = theory() + documents(check)
    if bad:
        print("\n".join(bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
