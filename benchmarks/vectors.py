#!/usr/bin/env python3
"""Search in compressed vectors beside faiss, in one run: recall at equal bytes, queries per second at equal recall.

usage: vectors.py OCC NAME BASE QUERIES [--truth IVECS] [--metric l2|ip] [--only REGEX] [-o CSV]

OCC is the program, BASE and QUERIES are .fvecs or .npy files. Needs numpy and faiss (pip install faiss-cpu). Appends rows to the CSV:
  data, program, method
  code_bytes    bytes of the codes of one vector; in faiss the code size of the index
  total_bytes   bytes of the whole file over the number of vectors: codes, codebooks, rotations; in faiss of faiss.serialize_index
  recall        share of the 10 true neighbours that are among the 10 found, mean over the queries
  qps           queries per second of CPU time of one thread, all queries in one call (repeated to 10,000); the best of three
Every method is fitted to the base vectors themselves.
"""
import argparse
import csv
import json
import os
import re
import resource
import subprocess
import tempfile
import time

import faiss
import numpy as np

BYTES = (8, 16, 32, 64)
SPEED_BYTES = (8, 16, 32)
K = 10


def read(path):
    if path.endswith(".npy"):
        return np.ascontiguousarray(np.load(path), dtype=np.float32)
    raw = np.fromfile(path, dtype="<i4")
    raw = raw.reshape(-1, raw[0] + 1)[:, 1:].copy()
    return raw if path.endswith(".ivecs") else raw.view("<f4")


def recall(found, truth):
    return float(np.mean([len(set(f[:K]) & set(t[:K])) / K for f, t in zip(found.tolist(), truth.tolist())]))


class Run:
    def __init__(self, a):
        self.a = a
        self.base, self.queries = read(a.base), read(a.queries)
        self.n, self.d = self.base.shape
        self.metric = faiss.METRIC_L2 if a.metric == "l2" else faiss.METRIC_INNER_PRODUCT
        if a.truth:
            self.truth = read(a.truth)
        else:
            flat = faiss.IndexFlat(self.d, self.metric)
            flat.add(self.base)
            self.truth = flat.search(self.queries, K)[1]
        self.many = np.tile(self.queries, (-(-10000 // len(self.queries)), 1))
        self.folder = tempfile.mkdtemp()
        self.many_path = os.path.join(self.folder, "many.npy")
        np.save(self.many_path, self.many)

    def row(self, program, method, code_bytes, total_bytes, found, qps):
        values = [self.a.name, program, method, f"{code_bytes:.4g}", f"{total_bytes:.4g}", f"{recall(found, self.truth):.4f}", f"{qps:.0f}"]
        with open(self.a.output, "a", newline="") as out:
            csv.writer(out, lineterminator="\n").writerow(values)
        print(",".join(values), flush=True)

    def faiss(self, spec):
        if not re.search(self.a.only, "faiss " + spec):
            return
        index = faiss.index_factory(self.d, spec, self.metric)
        index.train(self.base)
        index.add(self.base)
        inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
        seconds = []
        for _ in range(3):
            start = time.process_time()
            index.search(self.many, K)
            seconds.append(time.process_time() - start)
        found = index.search(self.queries, K)[1]
        self.row("faiss", spec, inner.sa_code_size() if hasattr(inner, "sa_code_size") else inner.code_size,
                 len(faiss.serialize_index(index)) / self.n, found, len(self.many) / min(seconds))

    def cpu(self, *command):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([self.a.occ, *command, "--threads", "1"], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def occ(self, method, *size):
        if not re.search(self.a.only, "occ " + method):
            return
        path = os.path.join(self.folder, "x.occ")
        run = lambda *c: json.loads(subprocess.run([self.a.occ, *c, "--json"], check=True, capture_output=True).stdout)
        report = run("index", self.a.base, "-o", path, "--method", method, "--force", *size)
        found = np.array(run("search", path, self.a.queries, "--metric", self.a.metric)["ids"])
        planes = run("inspect", path)["tensors"][0]["planes"]
        # Symbol planes follow the tables of their coder.
        codes = [p["bytes"] for p, before in zip(planes[1:], planes) if before["name"].startswith(p["name"] + ".")]
        # What grows with the vectors and is not a symbol: scales and norms of rows.
        codes += [p["bytes"] for p in planes if p["name"].split("/")[-1] in ("lloyd", "uniform", "rownorm") and p["bytes"] >= self.n / 2]
        search = ["search", path, self.many_path, "--metric", self.a.metric, "--quiet"]
        one = os.path.join(self.folder, "one.npy")
        np.save(one, self.queries[:1])
        start = min(self.cpu("search", path, one, "--metric", self.a.metric, "--quiet") for _ in range(3))
        seconds = min(self.cpu(*search) for _ in range(3)) - start
        self.row("occ", f"{method} {' '.join(size)}", sum(codes) / self.n, report["file_bytes"] / self.n, found, len(self.many) / seconds)

    def all(self):
        for b in BYTES:
            self.faiss(f"PQ{b}")
            self.faiss(f"OPQ{b},PQ{b}")
            self.occ("pq", "--bytes", str(b))
            self.occ("opq", "--bytes", str(b))
            self.occ("auto", "--bytes", str(b))
            for bits in (8, 4):  # scalar quantizers of the first principal components
                if 8 * b // bits <= self.d:
                    self.faiss(f"PCAR{8 * b // bits},SQ{bits}")
            for bits in (1, 2, 4):
                factors = 8 if bits == 1 else 20  # bytes of a vector besides its bits
                if factors < b and 8 * (b - factors) // bits <= self.d:
                    self.faiss(f"PCAR{8 * (b - factors) // bits},RaBitQ{bits if bits > 1 else ''}")
        for b in SPEED_BYTES:
            self.faiss(f"PQ{2 * b}x4fs")
            self.faiss(f"OPQ{2 * b},PQ{2 * b}x4fs")
            self.occ("pq(k=16)", "--bytes", str(b))
            self.occ("opq(k=16)", "--bytes", str(b))
        self.faiss("Flat")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("occ", "name", "base", "queries"):
        p.add_argument(name)
    p.add_argument("--truth")
    p.add_argument("--metric", default="l2", choices=("l2", "ip"))
    p.add_argument("--only", default="", help="regular expression: only the rows of this program and method, such as 'occ opq'")
    p.add_argument("-o", "--output", default="benchmarks/vectors.csv")
    a = p.parse_args()
    faiss.omp_set_num_threads(1)
    if not os.path.exists(a.output):
        with open(a.output, "w") as out:
            out.write("data,program,method,code_bytes,total_bytes,recall,qps\n")
    Run(a).all()


main()
