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
import measure as me
import mlp
import signals
import svg_plot
from common import number, table


def read(name):
    return common.read_csv(HERE / f"{name}.csv")


def front(rows, size="bytes"):
    """The points (bytes, nmse) that no other point beats in both, without gains of less than 3 %."""
    out, best = [], np.inf
    for r in sorted(rows, key=lambda r: (r[size], r["nmse"])):
        if r["nmse"] < 0.97 * best:
            best = r["nmse"]
            out.append((r[size], best))
    return out


KINDS = {"true parameters": lambda r: r["representation"] == "true parameters",
         "FFT, top K, uniform": lambda r: r["representation"].startswith("FFT, top"),
         "FFT, occ": lambda r: r["representation"] == "FFT",
         "MLP, uniform": lambda r: r["code"] == "uniform" and "x" in r["representation"],
         "MLP, uniform, rotated": lambda r: r["code"] == "uniform, rotated",
         "MLP, occ": lambda r: r["code"] == "occ" and "x" in r["representation"]}


def rate_figure(rows):
    panels = []
    for case in me.CASES:
        series = {k: [p for p in front([r for r in rows if r["signal"] == case and of(r)]) if p[1] < 1] for k, of in KINDS.items()}
        panels.append(svg_plot.Panel(f"signal {case}", "bytes", "nmse", {k: v for k, v in series.items() if v}, xlog=True, ylog=True))
    return svg_plot.svg(panels)


def curves(rows, x, y, label, title, xlabel, ylabel, **scales):
    panels = []
    for case in ("A", "B"):
        series = {}
        for r in rows:
            if r["signal"] == case:
                series.setdefault(r[label], []).append((r[x], r[y]))
        panels.append(svg_plot.Panel(title.format(case), xlabel, ylabel, series, **scales))
    return svg_plot.svg(panels)


def pages():
    rate, shape, networks, residual = read("rate"), read("shape"), read("networks"), read("residual")
    svg, tables = {"rate": rate_figure(rate)}, {}
    svg["fits"] = curves(read("fits"), "t", "value", "curve", "signal {}, a sixteenth of it", "t", "f(t)")
    svg["histograms"] = curves(read("histograms"), "at", "share", "numbers of", "signal {}", "value / rms of its matrix", "share", ylog=True)
    chosen = [r for r in shape if r["signal"] == "A" or r["signal"] == "B"]
    groups = {}
    for r in chosen:
        if " 3 x " in r["numbers of"]:
            groups.setdefault(f"{r['signal']}: {r['numbers of']}", {})[r["system"]] = r["max_over_rms"]
    svg["outliers"] = svg_plot.bars("The largest weight of the inner matrices of networks of 3 layers, before and after a rotation", "max / rms",
                                    list(groups.items()), log=True)
    energy = []
    for case in ("A", "B"):
        series = {}
        for r in chosen:
            if r["signal"] == case and r["numbers of"] in ("samples", "relu 3 x 256", "tanh 3 x 256"):
                series[f"{r['numbers of']}, {r['system'].replace('signs > hadamard', 'rotated')}"] = [(s, r[f"top{s}"]) for s in (1, 5, 10)]
        energy.append(svg_plot.Panel(f"signal {case}", "largest coefficients, %", "share of the energy", series))
    svg["energy"] = svg_plot.svg(energy)

    def fewest(case, of, target, size="bytes"):
        made = [r for r in rate if r["signal"] == case and of(r)]
        found = [r[size] for r in made if r["nmse"] <= target]
        return f"{min(found):,.0f}" if found else "not reached" if made else ""

    tables["reach"] = table(
        ["signal", "nmse"] + list(KINDS),
        [[case, f"{t:g}"] + [fewest(case, of, t) for of in KINDS.values()] for case in me.CASES for t in me.TARGETS])
    tables["networks"] = table(
        ["signal", "activation"] + [f"{l} x {w}" for l in (2, 3, 4) for w in (64, 128, 256)],
        [[case, a] + [number(next(r["test_nmse"] for r in networks if (r["signal"], r["activation"], r["layers"], r["width"], r["slope"]) ==
                                  (case, a, l, w, mlp.SLOPE[a])), 4) for l in (2, 3, 4) for w in (64, 128, 256)]
         for case in ("A", "B") for a in mlp.SLOPE])
    slopes = sorted({s for _, _, _, s in me.SLOPES})
    tables["slopes"] = table(
        ["activation"] + [f"{s:g}" for s in slopes],
        [[a] + [number(next(r["test_nmse"] for r in networks if (r["signal"], r["activation"], r["layers"], r["width"], r["slope"]) ==
                                  ("A", a, 3, 64, s)), 3) for s in slopes] for a in mlp.SLOPE])
    tables["shape"] = table(
        ["signal", "numbers of", "system", "max / rms", "kurtosis", "beyond 3 sigma, %", "top 1 %", "top 5 %", "top 10 %",
         "below a tenth of the rms", "entropy at a step of half the rms, bits"],
        [[r["signal"], r["numbers of"], r["system"], number(r["max_over_rms"], 1), number(r["kurtosis"], 1), number(100 * r["beyond_3_sigma"], 2),
          number(r["top1"]), number(r["top5"]), number(r["top10"]), number(r["below_tenth"]), number(r["entropy"], 2)]
         for r in chosen if r["numbers of"] in ("samples", "relu 3 x 256", "tanh 3 x 256")])

    def of_network(case, what, code, bits, key):
        return next(r[key] for r in rate if (r["signal"], r["representation"], r["code"], r["bits"]) == (case, what, code, bits))

    tables["rotation"] = table(
        ["signal", "network", "nmse as trained", "bits"] + [f"{c}: {k}" for c in ("uniform", "rotated", "occ") for k in ("nmse", "bytes")] +
        ["bytes by entropy: uniform", "rotated"],
        [[case, what, number(of_network(case, what, "f32", 32, "nmse"), 4), f"{bits:g}"] +
         [f(of_network(case, what, code, bits, key)) for code in ("uniform", "uniform, rotated", "occ")
          for key, f in (("nmse", lambda v: f"{v:.3g}"), ("bytes", lambda v: f"{v:,.0f}"))] +
         [f"{of_network(case, what, code, bits, 'entropy_bytes'):,.0f}" for code in ("uniform", "uniform, rotated")]
         for case, what in (("A", "relu 3 x 256"), ("A", "tanh 3 x 256"), ("B", "tanh 3 x 256")) for bits in me.BITS])
    parts = list(dict.fromkeys(r["part"] for r in residual))
    tables["residual"] = table(
        ["signal", "nmse"] + parts,
        [[case, f"{t:g}"] + [next((f"{r['bytes']:,.0f}" for r in residual if (r["signal"], r["part"], r["target"]) == (case, p, t)), "")
                             for p in parts] for case in me.CASES for t in me.TARGETS])
    return {HERE / f"{k}.svg": v for k, v in svg.items()}, tables


def miniature(occ):
    """[what failed]"""
    rng, bad = np.random.default_rng(1), []

    def expect(what, holds):
        if not holds:
            bad.append(what)

    p = mlp.initial(8, 3, "tanh", rng, 3.0)
    p = [x.astype(float) for x in p]
    t, y = rng.uniform(0, 1, 20), rng.standard_normal(20)
    for activation in mlp.SLOPE:
        g, step = mlp.gradients(p, t, y, activation), 1e-3
        for i in range(len(p)):
            at = tuple(rng.integers(0, n) for n in p[i].shape)
            loss = []
            for sign in (1, -1):
                p[i][at] += sign * step
                loss.append(((mlp.value(p, t, activation) - y) ** 2).mean())
                p[i][at] -= sign * step
            expect(f"gradient {i} of {activation}", abs((loss[0] - loss[1]) / (2 * step) - g[i][at]) < 0.02 * (1 + abs(g[i][at])))

    whole, free = me.truth("B, whole"), me.truth("B")
    x = signals.evaluate(whole)
    c = signals.fft(x)
    expect("the FFT is orthonormal and has an inverse",
           abs((c**2).sum() / (x**2).sum() - 1) < 1e-9 and np.allclose(signals.inverse_fft(c), x))
    kept = np.zeros_like(c)
    kept[:, signals.top(c, 20)] = c[:, signals.top(c, 20)]
    expect("twenty whole frequencies are twenty coefficients", me.nmse(kept, c) < 1e-20)
    y = signals.evaluate(free)
    expect("a pursuit finds the sines", me.nmse(signals.evaluate(signals.pursuit(y, 20)), y) < 1e-6)
    decoded, size, entropy = me.code_truth(free, 16)
    expect("parameters of 16 bits", me.nmse(signals.evaluate(decoded), y) < 1e-3 and size == 132 and entropy < size)
    a = signals.evaluate(me.truth("A"))
    at = signals.split(np.random.default_rng(1))
    network = mlp.train(signals.T[at].astype("f4"), (a / a.std())[at].astype("f4"), 32, 2, "tanh", rng, steps=500, batch=128,
                        rate=1e-2, slope=60)
    before = mlp.value(network, signals.T, "tanh")
    expect("a small network learns", me.nmse(before, a / a.std()) < 0.4)
    for rotated in (False, True):
        fine, _, _ = me.code_network(network, 14, rotated)
        expect("fine levels change nothing", me.nmse(mlp.value(fine, signals.T, "tanh"), before) < 1e-3)
    coarse = [me.nmse(mlp.value(me.code_network(network, b)[0], signals.T, "tanh"), before) for b in (2, 8)]
    expect("coarse levels do", coarse[0] > 100 * coarse[1])
    with tempfile.TemporaryDirectory() as scratch:
        codec = me.Codec(occ, scratch)
        sizes = [codec.residual(y, np.zeros_like(y), t) for t in (1e-1, 1e-3)]
        expect("less error takes more bytes", 0 < sizes[0] < sizes[1])
        expect("a part that suffices needs no residual", codec.residual(y, y, 1e-3) == 0)
        decoded, size = codec.network(network, "--recipe", common.trellis(8))
        expect("a network through the program", me.nmse(mlp.value(decoded, signals.T, "tanh"), before) < 0.02 and 900 < size < 1500)
    return bad


if __name__ == "__main__":
    sys.exit(common.figures_main(__doc__, pages, HERE, miniature))
