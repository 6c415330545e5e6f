#!/usr/bin/env python3
"""Cosines that survive compression, files of equal size.

    cosines.py OCC MINILM_FOLDER DATA OUT

MiniLM's table of word embeddings and SIFT vectors, at the size that `cpq` takes at 2, 3 and 4 bits. OUT/cosines.csv: what
`occ compare --cosines` says of every file; OUT/cosines.svg: the same as a plot. OUT/model.csv: MiniLM with only that table
coded, by what `occ evaluate` says of sentences.
"""
import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import svg_plot

TABLE = "embeddings.word_embeddings.weight"
BITS = (2, 3, 4)
ROTATED_RTN = "rotated rtn"
METHODS = {
    "rtn": "rtn",
    ROTATED_RTN: None,
    "lloyd": "lloyd",
    "turbo": "turbo",
    "trellis": "trellis",
    "cpq": "cpq",
    "cpq, dst": "cpq(basis=dst)",
    "cpq, pair": "cpq(quantizer=pair)",
    "cpq, trellis": "cpq(quantizer=trellis)",
    "cpq, trellis, product": "cpq(quantizer=trellis, keep=product)",
}


def occ(*arguments):
    done = subprocess.run([sys.argv[1], *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"occ {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def compress(source, archive, *how):
    occ("compress", source, "-o", archive, *how, "--force", "--no-sync", "--quiet")
    return os.path.getsize(archive)


def cosines(name, source, scratch, bits):
    archive = scratch / "x.occ"
    size = compress(source, archive, "--method", "cpq", "--bits", bits)
    for label, method in METHODS.items():
        if method is None:  # rotated rows, each with a scale; a little smaller than the others
            compress(source, archive, "--recipe", f"signs(seed=1) > hadamard > uniform(bits={bits}) > bitpack")
        else:
            compress(source, archive, "--method", method, "--size", size)
        yield {"matrix": name, "bits": bits, "method": label,
               **json.loads(occ("compare", source, archive, "--cosines", "--json"))["total"]}


def model(folder, scratch, data, bits):
    """Only the embeddings are coded, all else is as it was."""
    dev = scratch / "sentences.txt"
    lines = (data / "tasks/sst2_stsa.binary.dev").read_text().splitlines()
    dev.write_text("\n".join(line.split(" ", 1)[1] for line in lines) + "\n")
    tasks = [scratch / f"{part}.txt" for part in ("train", "test")]
    for path in tasks:
        rows = (data / f"tasks/sst2_stsa.binary.{path.stem}").read_text().splitlines()
        path.write_text("\n".join(rows[:1000]) + "\n")
    archive = scratch / "m.occ"
    size = compress(folder, archive, "--keep", "*", "--tensor", f"{TABLE}=cpq", "--bits", bits)
    for label in ("rtn", "lloyd", "turbo", "trellis", "cpq", "cpq, trellis"):
        compress(folder, archive, "--keep", "*", "--tensor", f"{TABLE}={METHODS[label]}", "--size", size)
        found = json.loads(occ("evaluate", archive, "--reference", folder, "--pairs", dev, "--limit", 400, "--json"))
        probe = json.loads(occ("evaluate", archive, "--probe", f"{tasks[0]},{tasks[1]}", "--json"))
        tensors = json.loads(occ("inspect", archive, "--json"))["tensors"]
        yield {"bits": bits, "method": label, "bpw": next(t["bpw"] for t in tensors if t["name"] == TABLE),
               "spearman": found["pairs"]["spearman"], "cosine": found["pairs"]["cosine"],
               "probe": probe["probe"]["acc"], "probe_stderr": probe["probe"]["acc_stderr"]}
        print(bits, label, found["pairs"], probe["probe"], file=sys.stderr)


def write_csv(path, rows):
    with open(path, "w", newline="") as out:
        table = csv.DictWriter(out, rows[0], lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


def plot(rows, path):
    panels = []
    for matrix in dict.fromkeys(row["matrix"] for row in rows):
        for title, value in (("1 - mean cosine", lambda r: 1 - r["row_cosine_mean"]),
                             ("RMSE of cosines of pairs", lambda r: r["pair_cosine_rmse"]),
                             ("recall of 10 neighbours", lambda r: r["recall_at_10"])):
            series = {label: [(r["bpw"], value(r)) for r in rows if r["matrix"] == matrix and r["method"] == label]
                      for label in METHODS if "product" not in label}
            panels.append(svg_plot.Panel(matrix, "bits per weight of the file", title, series, ylog="recall" not in title))
    svg_plot.write(path, panels, columns=3)


def main():
    folder, data, out = map(pathlib.Path, sys.argv[2:5])
    out.mkdir(parents=True, exist_ok=True)
    rows, models = [], []
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        occ("decompress", folder, "-o", scratch / "minilm.npy", "--tensor", TABLE, "--dtype", "f32")
        for matrix, source in (("MiniLM embeddings", scratch / "minilm.npy"),
                               ("SIFT", data / "vectors/sift5k_base4500.fvecs")):
            for bits in BITS:
                for row in cosines(matrix, source, scratch, bits):
                    rows.append(row)
                    print(row["matrix"], bits, row["method"], row["bpw"], row["row_cosine_mean"], row["recall_at_10"],
                          file=sys.stderr)
        write_csv(out / "cosines.csv", rows)
        plot(rows, out / "cosines.svg")
        for bits in (2, 3):
            models += model(folder, scratch, data, bits)
        write_csv(out / "model.csv", models)


main()
