"""Tables (Markdown, to stdout) and figures (SVG) of what qet_compare wrote.

    plot.py FOLDER

FOLDER/*.csv; data sets whose names end in a digit after "synthetic" are seeds of one: mean, and bars from least to most.
Writes FOLDER/{mse,mae,mre}-DATA.svg (seed protocol, a panel per number of subspaces), FOLDER/open.svg and FOLDER/best.csv,
the rows that the figures show.
"""

import csv
import math
import pathlib
import re
import sys
from collections import defaultdict

folder = pathlib.Path(sys.argv[1])
rows, levels, times = [], [], []
for path in sorted(folder.glob("*.csv")):
    if path.name == "best.csv":
        continue
    with open(path, newline="") as f:
        part = levels if path.name.endswith(".levels.csv") else times if path.name.endswith(".times.csv") else rows
        part.extend(csv.DictReader(f))


def data_of(name):
    return re.sub(r"^synthetic\d+$", "synthetic", name)


def order(names):
    return sorted(names, key=lambda n: (n != "synthetic", n))


DATA = order({data_of(r["data"]) for r in rows})
RATIOS = sorted({int(r["ratio"]) for r in rows})
SUBSPACES = [8, 16, 32, 128]
BASELINES = ["rtn", "pq", "opq", "lopq"]
# Series of the seed protocol: label, colour, which rows.
SERIES = [
    ("RTN", "#888888", lambda r: r["protocol"] == "seed" and r["method"] == "rtn"),
    ("PQ", "#1f77b4", lambda r: r["protocol"] == "seed" and r["method"] == "pq"),
    ("OPQ", "#2ca02c", lambda r: r["protocol"] == "seed" and r["method"] == "opq"),
    ("LOPQ", "#17becf", lambda r: r["protocol"] == "seed" and r["method"] == "lopq"),
    ("QET, 1 round", "#ff7f0e", lambda r: r["protocol"] == "seed" and r["method"] == "qet" and r["rounds"] == "1"),
    ("QET, 2 to 4 rounds", "#d62728", lambda r: r["protocol"] == "seed" and r["method"] == "qet" and r["rounds"] != "1"),
    ("QET, maps free (paper)", "#9467bd", lambda r: r["protocol"] == "paper"),
]
OPEN = [
    ("RTN", "#888888", ("rtn",)),
    ("PQ", "#1f77b4", ("pq",)),
    ("OPQ", "#2ca02c", ("opq",)),
    ("LOPQ", "#17becf", ("lopq",)),
    ("QET, rounds, outliers aside", "#d62728", ("qet",)),
    ("PQ, rounds, outliers aside", "#ff7f0e", ("pq+RO+outliers",)),
    ("RTN, outliers aside", "#bcbd22", ("rtn+outliers",)),
    ("trellis (with outliers aside or not)", "#9467bd", ("trellis", "trellis+outliers")),
]


def best(selected, key="mse"):
    """By seed the row of least error; then (mean, least, most, a row)."""
    by_name = defaultdict(list)
    for r in selected:
        by_name[r["data"]].append(r)
    if not by_name:
        return None
    rows_of = [min(rs, key=lambda r: float(r["mse"])) for rs in by_name.values()]
    values = [float(r[key]) for r in rows_of]
    return sum(values) / len(values), min(values), max(values), rows_of[0]


def select(data, protocol=None, ratio=None, m=None, method=None):
    return [r for r in rows if data_of(r["data"]) == data and (protocol is None or r["protocol"] == protocol)
            and (ratio is None or int(r["ratio"]) == ratio) and (m is None or r["m"] in (str(m), "0"))
            and (method is None or r["method"] in method)]


def limit(data, ratio):
    values = [float(r["limit_mse"]) for r in select(data, ratio=ratio)]
    return sum(values) / len(values)


class Svg:
    def __init__(self, width, height):
        self.parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
                      f'height="{height}" font-family="sans-serif" font-size="11">',
                      f'<rect width="{width}" height="{height}" fill="white"/>']

    def text(self, x, y, text, anchor="middle", size=11, extra=""):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" {extra}>{text}</text>')

    def line(self, points, colour, width=1.5, dash=""):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}" '
                          f'stroke-dasharray="{dash}"/>')

    def dot(self, x, y, colour):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>')

    def save(self, path):
        path.write_text("\n".join(self.parts + ["</svg>\n"]))


def panel(svg, box, title, curves, label):
    """curves: (label, colour, dash, [(ratio, value, low, high)]); logarithmic in value."""
    left, top, width, height = box
    values = [v for c in curves for p in c[3] for v in p[1:] if v > 0]
    if not values:
        return
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    x_of = lambda r: left + 14 + (width - 28) * (RATIOS.index(r) / max(1, len(RATIOS) - 1))
    y_of = lambda v: top + height * (high - math.log10(v)) / (high - low)
    svg.parts.append(f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#444"/>')
    for e in range(low, high + 1):
        y = y_of(10.0**e)
        svg.line([(left, y), (left + width, y)], "#ddd", 0.7)
        svg.text(left - 4, y + 4, f"1e{e}", "end", 10)
    for r in RATIOS:
        svg.text(x_of(r), top + height + 14, r)
    svg.text(left + width / 2, top - 6, title, size=12)
    svg.text(left + width / 2, top + height + 28, "compression ratio (of f32)")
    svg.text(left - 40, top + height / 2, label, extra=f'transform="rotate(-90 {left - 40} {top + height / 2})"')
    for _, colour, dash, points in curves:
        points = [p for p in points if p[1] > 0]
        svg.line([(x_of(p[0]), y_of(p[1])) for p in points], colour, dash=dash)
        for ratio, value, least, most in points:
            if not dash:
                svg.dot(x_of(ratio), y_of(value), colour)
            if least > 0 and most > least:
                svg.line([(x_of(ratio), y_of(least)), (x_of(ratio), y_of(most))], colour, 1)


def legend(svg, x, y, entries):
    for i, (label, colour, dash) in enumerate(entries):
        svg.line([(x, y + 16 * i), (x + 24, y + 16 * i)], colour, 2, dash)
        svg.text(x + 30, y + 4 + 16 * i, label, "start")


def figure(data, metric):
    subspaces = [m for m in SUBSPACES if any(r["m"] == str(m) for r in select(data, "seed"))]
    svg = Svg(60 + 250 * len(subspaces) + 190, 300)
    for i, m in enumerate(subspaces):
        curves = []
        for label, colour, wanted in SERIES:
            points = []
            for ratio in RATIOS:
                found = best([r for r in select(data, ratio=ratio, m=m) if wanted(r)], metric)
                if found:
                    points.append((ratio, *found[:3]))
            curves.append((label, colour, "", points))
        if metric == "mse":
            curves.append(("limit", "#000", "4 3", [(r, limit(data, r), 0, 0) for r in RATIOS]))
        panel(svg, (60 + 250 * i, 34, 190, 210), f"{data}, m = {m}", curves, metric.upper())
    legend(svg, 60 + 250 * len(subspaces), 60,
           [(s[0], s[1], "") for s in SERIES] + ([("Gaussian limit", "#000", "4 3")] if metric == "mse" else []))
    svg.save(folder / f"{metric}-{data}.svg")


def open_figure():
    per_line = 4
    lines = -(-len(DATA) // per_line)
    svg = Svg(60 + 250 * min(per_line, len(DATA)) + 220, 20 + 280 * lines)
    for i, data in enumerate(DATA):
        curves = []
        for label, colour, methods in OPEN:
            points = []
            for ratio in RATIOS:
                found = best(select(data, "open", ratio, method=methods))
                if found:
                    points.append((ratio, *found[:3]))
            curves.append((label, colour, "", points))
        curves.append(("limit", "#000", "4 3", [(r, limit(data, r), 0, 0) for r in RATIOS]))
        panel(svg, (60 + 250 * (i % per_line), 34 + 280 * (i // per_line), 190, 200), data, curves, "MSE")
    legend(svg, 60 + 250 * min(per_line, len(DATA)), 60, [(o[0], o[1], "") for o in OPEN] + [("Gaussian limit", "#000", "4 3")])
    svg.save(folder / "open.svg")


def number(found):
    return "" if found is None else f"{found[0]:.3g}"


def table(head, lines):
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for line in lines:
        print("| " + " | ".join(str(c) for c in line) + " |")
    print()


for data in DATA:
    for metric in ("mse", "mae", "mre"):
        figure(data, metric)
open_figure()


# What the figures show: in every data set the row of least MSE by protocol, ratio, m (seed, paper), method and rounds.
kept = {}
for r in rows:
    key = tuple(r[c] for c in ("data", "protocol", "ratio", "m" if r["protocol"] != "open" else "ratio", "method",
                               "rounds" if r["protocol"] == "seed" else "ratio", "levels" if r["protocol"] == "paper" else "ratio"))
    if key not in kept or float(r["mse"]) < float(kept[key]["mse"]):
        kept[key] = r
with open(folder / "best.csv", "w", newline="") as f:
    writer = csv.DictWriter(f, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(r | ({} if r["protocol"] == "open" else {"recipe": ""}) for r in kept.values())

print("## What the tree does\n")
lines = []
for data in DATA:
    for level in range(7):
        found = [r for r in levels if data_of(r["data"]) == data and int(r["level"]) == level]
        if found and level:
            mean = lambda key: sum(float(r[key]) for r in found) / len(found)
            lines.append([data, level, f"{mean('variance_ratio'):.3f}", f"{mean('range_ratio'):.3f}",
                          f"{mean('bits_per_order_bit'):.3f}"])
table(["data", "level", "variance", "range", "entropy of an order bit"], lines)

print("## Seed protocol: every vector quantizer has m = 8; MSE\n")
lines = []
for data in DATA:
    for ratio in RATIOS:
        cells = {s[0]: best([r for r in select(data, ratio=ratio, m=8) if s[2](r)]) for s in SERIES}
        base = [cells[n][0] for n in ("PQ", "OPQ", "LOPQ") if cells[n]]
        qet = [cells[n] for n in ("QET, 1 round", "QET, 2 to 4 rounds") if cells[n]]
        share = f"{min(q[0] for q in qet) / min(base):.1%}" if base and qet else ""
        one = cells["QET, 1 round"]
        lines.append([data, ratio] + [number(cells[s[0]]) for s in SERIES]
                     + [one[3]["levels"] if one else "", f"{one[0] / min(base):.1%}" if one and base else "", share])
table(["data", "ratio"] + [s[0] for s in SERIES] + ["its levels", "QET, 1 round / best of PQ, OPQ, LOPQ", "any rounds / best"], lines)

print("## Levels, seed protocol, m = 8: MSE of QET over that of PQ\n")
lines = []
for data in DATA:
    for ratio in RATIOS:
        pq = best(select(data, "seed", ratio, 8, ("pq",)))
        for protocol in ("seed", "paper"):
            cells = []
            for level in range(1, 7):
                found = best([r for r in select(data, protocol, ratio, 8, ("qet",))
                              if r["levels"] == str(level) and r["rounds"] == "1"])
                cells.append(f"{found[0] / pq[0]:.1%}" if found and pq else "")
            lines.append([data, ratio, "all bytes" if protocol == "seed" else "maps free"] + cells)
table(["data", "ratio", "counted"] + [f"level {level}" for level in range(1, 7)], lines)

print("## Open protocol: every method takes its best parameters; MSE\n")
lines = []
for data in DATA:
    for ratio in RATIOS:
        cells = [best(select(data, "open", ratio, method=o[2])) for o in OPEN]
        base = [c[0] for c in cells[:4] if c]
        share = f"{cells[4][0] / min(base):.1%}" if cells[4] and base else ""
        lines.append([data, ratio] + [number(c) for c in cells] + [f"{limit(data, ratio):.3g}", share])
table(["data", "ratio"] + [o[0] for o in OPEN] + ["Gaussian limit", "QET / best of RTN, PQ, OPQ, LOPQ"], lines)

print("## Best recipes of QET, open protocol\n")
lines = []
for data in DATA:
    found = best(select(data, "open", 4, method=("qet",)))
    if found:
        lines.append([data, f"{float(found[3]['bpw']):.3f}", f"`{found[3]['recipe']}`"])
table(["data", "bits per weight", "ratio 4"], lines)

print("## Share of codebooks and scales; seed protocol, ratio 4, m = 8\n")
lines = []
for data in DATA:
    cells = []
    for label, _, wanted in SERIES[:6]:
        found = best([r for r in select(data, "seed", 4, 8) if wanted(r)], "codebook_share")
        cells.append(f"{found[0]:.1%}" if found else "")
    lines.append([data] + cells)
table(["data"] + [s[0] for s in SERIES[:6]], lines)

print("## Time: QTR, DTR (CPU time over that of PQ); ratio 4, m = 8\n")
by_method = defaultdict(lambda: defaultdict(list))
for r in times:
    by_method[r["method"]][data_of(r["data"])].append((float(r["quantize_s"]), float(r["dequantize_s"])))
mean = lambda pairs, i: sum(p[i] for p in pairs) / len(pairs)
lines = []
for method, found in by_method.items():
    lines.append([method] + [" / ".join(f"{mean(found[d], i) / mean(by_method['PQ'][d], i):.2f}" for i in (0, 1))
                             if found.get(d) else "" for d in DATA])
table(["method"] + DATA, lines)
