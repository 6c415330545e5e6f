#!/usr/bin/env python3
"""Figures and tables of this experiment from its records, and a miniature of the measurements.

    figures.py                             writes *.svg and the tables of README.md anew
    figures.py --check OCC PROXIES [DATA]  exit status 1 if they are not what the records say, or if the miniature fails;
                                           seconds. For it DATA (or the environment's OCC_TEST_DATA) has
                                           models/stories260k and text/tinystories_a.txt
"""
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))
import common
import measure as me
import svg_plot
from common import number, table

PROXIES = {"bits per weight": lambda r: -r["bpw"], "bits without bases": lambda r: r["basis_bpw"] - r["bpw"], "nmse": lambda r: r["nmse"],
           "weighted nmse": lambda r: r["weighted_nmse"], "second order": lambda r: r["predicted_kl"]}


def records():
    """{name of a model: cells}"""
    return {p.stem.removeprefix("cells-"): common.read_csv(p) for p in sorted(HERE.glob("cells-*.csv"), reverse=True)}


def correlation(cells, proxy, truth="kl"):
    return common.spearman([proxy(r) for r in cells], [r[truth] for r in cells])


def within(cells, proxy, key):
    """Mean of the rank correlations among the cells that share key(cell)."""
    parts = {}
    for r in cells:
        parts.setdefault(key(r), []).append(r)
    found = [correlation(p, proxy) for p in parts.values() if len(p) > 2]
    return sum(found) / len(found) if found else None


def pages():
    tables, scatter, rate, lines, cost, cells_table = {}, [], [], [], [], []
    for model, cells in records().items():
        kinds = {"all cells": cells, "inputs unknown": [r for r in cells if r["inputs"] == "unknown"],
                 "inputs known": [r for r in cells if r["inputs"] == "known"], "KL below .5": [r for r in cells if r["kl"] < 0.5],
                 "KL above .5": [r for r in cells if r["kl"] >= 0.5]}
        for name, part in kinds.items():
            if len(part) > 3:
                lines.append([model, name, len(part)] + [number(correlation(part, p), 2) for p in PROXIES.values()])
        inside = [within(cells, p, lambda r: r["bits"]) for p in PROXIES.values()]
        lines.append([model, "cells of one rate, mean", ""] + ["" if v is None else number(v, 2) for v in inside])
        lines.append([model, "all cells, with perplexity", len(cells)] + [number(correlation(cells, p, "perplexity"), 2) for p in PROXIES.values()])
        for bits in sorted({r["bits"] for r in cells}):
            part = sorted(r["kl"] / r["predicted_kl"] for r in cells if r["bits"] == bits)
            kl = sorted(r["kl"] for r in cells if r["bits"] == bits)
            cost.append([model, f"{bits:g}", f"{kl[0]:.2g} - {kl[-1]:.2g}", number(part[0], 2), number(part[len(part) // 2], 2), number(part[-1], 2)])
        panel = {f"{i}, {s}": sorted((r["predicted_kl"], r["kl"]) for r in cells if (r["inputs"], r["system"]) == (i, s))
                 for i in ("unknown", "known") for s in me.SYSTEMS}
        error = {f"{i}, {s}": sorted((r["nmse"], r["kl"]) for r in cells if (r["inputs"], r["system"]) == (i, s))
                 for i in ("unknown", "known") for s in me.SYSTEMS}
        scatter += [svg_plot.Panel(f"{model}: nmse", "nmse", "KL, nats", error, xlog=True, ylog=True, lines=False),
                    svg_plot.Panel(f"{model}: second order", "predicted KL, nats", "KL, nats", panel, xlog=True, ylog=True, lines=False)]
        for code in dict.fromkeys(r["code"] for r in cells):
            rate.append(svg_plot.Panel(f"{model}: {code}", "bits per weight of the file", "KL, nats",
                                       {f"{i}, {s}": sorted((r["bpw"], r["kl"]) for r in cells if (r["inputs"], r["system"], r["code"]) == (i, s, code))
                                        for i in ("unknown", "known") for s in me.SYSTEMS}, ylog=True))
            for inputs in dict.fromkeys(r["inputs"] for r in cells):
                for bits in sorted({r["bits"] for r in cells}):
                    of = {r["system"]: r for r in cells if (r["code"], r["inputs"], r["bits"]) == (code, inputs, bits)}
                    if of:
                        cells_table.append([model, code, inputs, f"{bits:g}"] + [
                            (number(of[s]["bpw"], 2) if k == "bpw" else f"{of[s][k]:.3g}") if s in of else "" for s in me.SYSTEMS for k in ("bpw", "kl")])
    tables["correlation"] = table(["model", "among", "cells", *PROXIES], lines)
    tables["cost"] = table(["model", "bits", "KL", "KL over prediction: least", "median", "most"], cost)
    tables["cells"] = table(["model", "code", "inputs", "bits"] + [f"{s}: {k}" for s in me.SYSTEMS for k in ("bpw", "KL")], cells_table)
    return {HERE / "proxies.svg": svg_plot.svg(scatter), HERE / "rate.svg": svg_plot.svg(rate)}, tables


def miniature(occ, proxies, data):
    """[what failed]"""
    bad = []

    def expect(what, holds):
        if not holds:
            bad.append(what)

    expect("rank correlation with ties", abs(common.spearman([1, 2, 2, 5], [3, 4, 4, 9]) - 1) < 1e-9 and
           abs(common.spearman([1, 2, 3, 4], [4, 3, 2, 1]) + 1) < 1e-9 and abs(common.spearman([1, 2, 3], [1, 3, 2]) - 0.5) < 1e-9)
    with tempfile.TemporaryDirectory() as scratch:
        text = Path(scratch) / "text.txt"
        text.write_bytes((data / "text/tinystories_a.txt").read_bytes()[:6000])
        validation = me.Validation(occ, proxies, data / "models/stories260k", text, text, Path(scratch) / "cells",
                                   me.OPTIONS | {"tokens": "1024", "context": "128", "calibration": "1024", "bits": "4,8", "codes": "trellis",
                                                 "systems": "identity,hadamard"})
        cells = {(r["inputs"], r["system"], r["bits"]): r for r in validation.rows()}
        again = {(r["inputs"], r["system"], r["bits"]): r for r in validation.rows()}
    expect("finished cells are not made again", again == cells)
    for key, r in cells.items():
        if key[2] == 8:
            expect(f"second order holds for small errors: {key}", 0.4 < r["kl"] / r["predicted_kl"] < 2.5)
            expect(f"more bits, less of everything: {key}",
                   all(r[k] < cells[key[:2] + (4,)][k] / 20 for k in ("nmse", "weighted_nmse", "predicted_kl", "kl")))
    for system in ("identity", "hadamard"):
        known, unknown = cells["known", system, 4], cells["unknown", system, 4]
        expect(f"known inputs: larger error of weights, smaller loss, fewer bits: {system}",
               known["nmse"] > 1.3 * unknown["nmse"] and known["predicted_kl"] < unknown["predicted_kl"] and known["bpw"] < unknown["bpw"])
    return bad


def main():
    check = sys.argv[1:2] == ["--check"]
    if len(sys.argv) not in ((4, 5) if check else (1,)):
        raise SystemExit(__doc__)
    figures, tables = pages()
    bad = common.publish(figures, tables, [HERE / "README.md"], check, "experiments/tinyllama_validation/figures.py")
    if check:
        data = Path(os.environ.get("OCC_TEST_DATA") or sys.argv[-1])
        if (data / "models/stories260k").exists() and (data / "text/tinystories_a.txt").exists():
            bad += miniature(common.Occ(sys.argv[2]), sys.argv[3], data)
        elif not bad:
            print(f"skipped: {data} has no models/stories260k and text/tinystories_a.txt")
            return 77
    print(*bad, sep="\n", end="\n" if bad else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
