#!/usr/bin/env python3
"""The picture and the table of the README, from the record in benchmarks/size_kl.csv; the standard library only.

usage: size_kl.py            writes docs/size_kl.svg and the table in README.md anew
       size_kl.py --check    exit status 1 if they are not what the record says
"""
import csv
import math
import re
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = 134515008
TABLE = {"4 bits", "3 bits", "3 bits, no text given", "2 bits", "IQ4_NL", "Q4_0"}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 64, 20, 54, 52
X_RANGE, Y_RANGE = (0, 105), (0.006, 3)
# Where the name of a point stands: dx, dy, anchor.
BESIDE = {"Q2_K": (-9, -6, "end"), "IQ4_NL": (-9, 9, "end"), "3 bits, no text given": (11, -3, "start")}
NO_TEXT = "no text given"  # files calibrated with the text that is part of occ; they are no points of the curve
STYLE = """
  .page { fill: #ffffff } .text { fill: #1f2328 } .soft { fill: #59636e } .grid { stroke: #d1d9e0 } .frame { stroke: #818b98 }
  .occ { stroke: #0969da; fill: #0969da } .llama { stroke: #bc4c00; fill: #bc4c00 } .same { stroke: #59636e }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } .text { fill: #f0f6fc } .soft { fill: #9198a1 } .grid { stroke: #3d444d } .frame { stroke: #656c76 }
    .occ { stroke: #4493f8; fill: #4493f8 } .llama { stroke: #db6d28; fill: #db6d28 } .same { stroke: #9198a1 }
  }"""


def read():
    with open(ROOT / "benchmarks/size_kl.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    for row in rows:
        for key in ("megabytes", "perplexity", "input_perplexity", "kl", "top1", "tokens"):
            row[key] = float(row[key])
    return rows


def at(megabytes, kl):
    x = (megabytes - X_RANGE[0]) / (X_RANGE[1] - X_RANGE[0])
    y = math.log(kl / Y_RANGE[0]) / math.log(Y_RANGE[1] / Y_RANGE[0])
    return LEFT + x * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y * (HEIGHT - BOTTOM - TOP)


def text(x, y, words, kind="text", anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def line(x1, y1, x2, y2, kind, more=""):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"{more}/>'


def mark(program, x, y, hollow=False):
    fill = ' style="fill: none" stroke-width="2"' if hollow else ""
    if program == "occ":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="occ"{fill}/>'
    return f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9" class="llama"{fill}/>'


def picture(rows):
    left, bottom = at(X_RANGE[0], Y_RANGE[0])
    right, top = at(X_RANGE[1], Y_RANGE[1])
    by_name = {row["file"]: row for row in rows}
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
           'font-family="system-ui, sans-serif" font-size="13" role="img">',
           "<title>Size of the file against what the model lost, SmolLM2-135M-Instruct</title>",
           f"<style>{STYLE}\n</style>", '<rect width="100%" height="100%" class="page"/>',
           text(LEFT, 22, "SmolLM2-135M-Instruct: size of the whole file against loss", more=' font-size="15" font-weight="600"'),
           text(LEFT, 41, "Further left is smaller, further down is nearer to the original model.", "soft")]
    for x in range(0, 101, 20):
        px = at(x, 1)[0]
        out += [line(px, top, px, bottom, "grid"), text(px, bottom + 18, f"{x}", "soft", "middle")]
    for y in (0.01, 0.03, 0.1, 0.3, 1):
        py = at(0, y)[1]
        out += [line(left, py, right, py, "grid"), text(left - 8, py + 4, f"{y:g}", "soft", "end")]
    out.append(f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" fill="none" class="frame"/>')
    out.append(text((left + right) / 2, HEIGHT - 12, "size of the file, MB", "text", "middle"))
    middle = (top + bottom) / 2
    out.append(text(16, middle, "KL divergence from the original, nats", "text", "middle",
                    f' transform="rotate(-90 16 {middle:.1f})"'))

    # The original file, and the two files that lose the same.
    x = at(by_name["SmolLM2-135M-Instruct Q4_1 GGUF"]["megabytes"], 1)[0]
    out += [line(x, top, x, bottom, "same", ' stroke-dasharray="2 4"'), text(x - 6, top + 16, "original", "soft", "end")]
    ours, theirs = by_name["3 bits"], by_name["Q4_0"]
    (x1, y1), (x2, y2) = at(ours["megabytes"], ours["kl"]), at(theirs["megabytes"], theirs["kl"])
    out += [line(x1 + 8, y1, x2 - 8, y2, "same", ' stroke-dasharray="5 4"'),
            text(x1 + 60, y1 + 14, f"less loss, {1 - ours['megabytes'] / theirs['megabytes']:.0%} smaller", "soft")]

    points = [at(r["megabytes"], r["kl"]) for r in rows if r["program"] == "occ" and NO_TEXT not in r["file"]]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in sorted(points))
    out.append(f'<polyline points="{path}" class="occ" style="fill: none" stroke-width="2"/>')
    for row in rows:
        if row["program"] == "input":
            continue
        x, y = at(row["megabytes"], row["kl"])
        dx, dy, anchor = BESIDE.get(row["file"], (-9, 16, "end"))
        out += [mark(row["program"], x, y, hollow=row["tokens"] < 20000), text(x + dx, y + dy, row["file"], "text", anchor)]
    x, y = left + 16, bottom - 58
    out += [mark("occ", x, y - 4), text(x + 12, y, "occ, calibrated on a text"),
            mark("llama.cpp", x, y + 16), text(x + 12, y + 20, "llama.cpp, with an importance matrix of the same text"),
            text(x - 5, y + 40, "filled: 20,000 tokens of text, hollow: the first 8,192 of them", "soft"), "</svg>\n"]
    return "\n".join(out)


def table(rows):
    out = ["| file | size | bits per weight | perplexity | KL | same first choice | tokens |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        name = row["file"]
        if row["program"] != "input" and name not in TABLE:
            continue
        if row["program"] != "input":
            name = f"**`occ`, {name}**" if row["program"] == "occ" else f"llama.cpp {name}"
        more = row["perplexity"] / row["input_perplexity"] - 1
        perplexity = f"{row['perplexity']:.1f}" + (f" (+{more:.0%})" if row["kl"] else "")
        out.append(f"| {name} | {row['megabytes']:.1f} MB | {row['megabytes'] * 8e6 / WEIGHTS:.2f} | {perplexity} | "
                   f"{row['kl']:.3f} | {row['top1']:.0%} | {row['tokens']:,.0f} |")
    return "\n".join(out)


def main():
    rows = read()
    readme, svg = ROOT / "README.md", ROOT / "docs/size_kl.svg"
    old = readme.read_text()
    parts = re.split(r"(<!-- benchmarks/size_kl\.py -->\n).*?(\n<!-- end -->)", old, flags=re.S)
    if len(parts) != 4:
        sys.exit("README.md: expected one table between <!-- benchmarks/size_kl.py --> and <!-- end -->")
    new = parts[0] + parts[1] + table(rows) + parts[2] + parts[3]
    if sys.argv[1:] == ["--check"]:
        stale = [p.name for p, now in ((readme, new), (svg, picture(rows))) if not p.exists() or p.read_text() != now]
        sys.exit(f"not what benchmarks/size_kl.csv says, run benchmarks/size_kl.py: {' '.join(stale)}" if stale else 0)
    svg.write_text(picture(rows))
    readme.write_text(new)


if __name__ == "__main__":
    main()
