"""What the experiments share: the program `occ`, records in CSV, tables in pages. Nothing but the standard library."""
import csv
import json
import math
import os
import re
import struct
import subprocess
import sys
from pathlib import Path


class Occ:
    """The program. Errors of a call end the experiment with the program's own message."""

    def __init__(self, program):
        self.program = str(program)

    def run(self, *arguments):
        done = subprocess.run([self.program, *map(str, arguments), "--quiet"], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"occ {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.run(*arguments, "--json"))

    def compress(self, source, archive, *how):
        """Writes the archive and returns the report (docs/reference/json.md)."""
        return self.json("compress", source, "-o", archive, *how, "--force", "--no-sync")

    def compress_to(self, source, archive, size, *how):
        """The same in at most `size` bytes; returns the bytes of the file."""
        self.compress(source, archive, "--size", size, *how)
        return os.path.getsize(archive)


def trellis(bits):
    """The recipe of an entropy-coded trellis that takes about `bits` bits per Gaussian weight."""
    return f"trellis(step={0.498 * 2 ** (2 - bits):.5g}) > rans(tables=64)"


def read_safetensors(path):
    """Its header and its tensors of type F32 or F16 as numpy arrays in f32, which needs numpy; others are left out."""
    import numpy as np
    with open(path, "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(size))
    data, types, out = np.memmap(path, np.uint8, "r", 8 + size), {"F32": "<f4", "F16": "<f2"}, {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] in types and math.prod(entry["shape"]):
            begin, end = entry["data_offsets"]
            out[name] = data[begin:end].view(types[entry["dtype"]]).reshape(entry["shape"]).astype("f4", copy=False)
    return header, out


def figures_main(usage, pages, folder, miniature):
    """The program figures.py of an experiment: makes its figures and tables, or with --check OCC compares them with what is
    there and runs miniature(Occ), which returns what is wrong. Returns the exit status."""
    check = sys.argv[1:2] == ["--check"]
    if len(sys.argv) != (3 if check else 1):
        raise SystemExit(usage)
    figures, tables = pages()
    bad = publish(figures, tables, [folder / "README.md"], check, f"experiments/{folder.name}/figures.py")
    if check:
        bad += miniature(Occ(sys.argv[2]))
    print(*bad, sep="\n", end="\n" if bad else "")
    return 1 if bad else 0


def plain(value):
    """A number as records have it: five digits."""
    return f"{value:.5g}" if hasattr(value, "__float__") and not isinstance(value, int) else value


def write_csv(path, rows):
    """Rows are dictionaries; the longest has all columns."""
    with open(path, "w", newline="") as f:
        table = csv.DictWriter(f, max(rows, key=len), lineterminator="\n")
        table.writeheader()
        table.writerows({k: plain(v) for k, v in row.items()} for row in rows)


def read_csv(path):
    """Rows as dictionaries, what looks like a number as float."""
    with open(path, newline="") as f:
        rows = list(csv.DictReader(f))
    for row in rows:
        for key, value in row.items():
            try:
                row[key] = float(value)
            except ValueError:
                pass
    return rows


def number(value, digits=3):
    """A number as tables have it: no zero before the point, thousands with commas."""
    if isinstance(value, str):
        return value
    text = f"{value:.{digits}f}" if abs(value) < 100 else f"{value:,.0f}"
    return re.sub(r"^(-?)0\.", r"\1.", text.removeprefix("-") if not float(text.replace(",", "")) else text)


def table(heads, rows):
    """A table in Markdown."""
    return "\n".join(["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)] +
                     ["| " + " | ".join(str(c) for c in row) + " |" for row in rows])


MARK = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.S)


def publish(figures, tables, pages, check, command):
    """Writes figures {path: SVG} and fills tables {name: Markdown} in at their marks in the pages,
    `<!-- table NAME -->` to `<!-- end -->`. With check, writes nothing. Returns what is wrong, one text each."""
    contents, used = dict(figures), set()
    for path in map(Path, pages):
        text = path.read_text()
        used |= {m[1] for m in MARK.findall(text)}
        contents[path] = MARK.sub(lambda m: m[1] + tables[m[2]] + "\n" + m[3], text)
    wrong = []
    for path, text in contents.items():
        if not Path(path).exists() or Path(path).read_text() != text:
            if check:
                wrong.append(f"{Path(path).name} is not what the records say: run {command}")
            else:
                Path(path).write_text(text)
    return wrong + [f"no page shows the table {t}" for t in sorted(set(tables) - used)]


def ranks(values):
    """Ranks from 0 on; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    out, begin = [0.0] * len(values), 0
    while begin < len(order):
        end = begin
        while end < len(order) and values[order[end]] == values[order[begin]]:
            end += 1
        for i in order[begin:end]:
            out[i] = (begin + end - 1) / 2
        begin = end
    return out


def spearman(a, b):
    """Rank correlation."""
    a, b = ranks(a), ranks(b)
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    product = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b))
    return product / (sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b)) ** 0.5
