#!/usr/bin/env python3
"""Kashin decompositions x = u + Q v in several bases: convergence, peaks, and what two-dimensional clusters cost.

    decompositions.py OUT [MODEL.safetensors]

The vector form and the matrix form of arXiv 2404.09737 (section 3; greedy sign steps):

    vector    while |r| > tol |x|:  with y = Q^T r: if |r|_1 > |y|_1, c = |r|_1 / n, c sign(r) goes from r to u;
              otherwise c = |y|_1 / n, c sign(y) to v and Q c sign(y) from r
    matrix    the same with Y = Q1^T R Q2, on X / |X|_F; then the pairs (U_ij, V_ij) in 2^b clusters of the plane (k-means from
              a grid), X' = U' + Q1 V' Q2^T

What differs from the paper: no limit of 200 steps for the vector form; clusters are made for the whole matrix.
"""
import csv
import json
import pathlib
import struct
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import svg_plot

VECTOR, MATRIX, STEPS, TOLERANCE = 1024, 256, 200, 1e-6


def dct_matrix(n):
    k, j = np.arange(n)[:, None], np.arange(n)[None, :]
    q = np.sqrt(2 / n) * np.cos(np.pi * (2 * j + 1) * k / (2 * n))
    q[0] /= np.sqrt(2)
    return q.T


def orthogonal(n, rng):
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return q * np.sign(np.diag(r))


def householder(n, rng, count):
    q = np.eye(n)
    for _ in range(count):
        v = rng.standard_normal(n)
        v /= np.linalg.norm(v)
        q -= 2 * np.outer(q @ v, v)
    return q


def butterfly(n, rng):
    """log2 n stages of rotations of the pairs (i, i + h), each by its own angle."""
    q, h = np.eye(n), 1
    while h < n:
        i = np.arange(n)[(np.arange(n) & h) == 0]
        angle = rng.uniform(0, 2 * np.pi, len(i))
        c, s = np.cos(angle), np.sin(angle)
        a, b = q[:, i], q[:, i + h]
        q[:, i], q[:, i + h] = a * c - b * s, a * s + b * c
        h *= 2
    return q


def hadamard(n):
    q = np.ones((1, 1))
    while len(q) < n:
        q = np.block([[q, q], [q, -q]])
    return q / np.sqrt(n)


BASES = {
    "orthogonal (QR)": orthogonal,
    "1 Householder reflection": lambda n, rng: householder(n, rng, 1),
    "32 Householder reflections": lambda n, rng: householder(n, rng, 32),
    "butterfly": butterfly,
    "DCT": lambda n, rng: dct_matrix(n),
    "signs and DCT": lambda n, rng: dct_matrix(n) * rng.choice([-1.0, 1.0], n)[:, None],
    "Hadamard": lambda n, rng: hadamard(n),
}


def sources(model, rng):
    """Matrices [MATRIX, 2 MATRIX or more columns], whose rows are also the vectors."""
    yield "normal", rng.standard_normal((MATRIX, VECTOR))
    yield "Student t, 3 degrees of freedom", rng.standard_t(3, (MATRIX, VECTOR))
    if model:
        with open(model, "rb") as f:
            header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
            start = f.tell()
            name, entry = max(((k, v) for k, v in header.items() if k.endswith("weight") and v.get("dtype") == "F32" and
                               len(v["shape"]) == 2 and v["shape"][0] >= MATRIX and v["shape"][1] >= VECTOR),
                              key=lambda t: (t[1]["shape"][1], -t[1]["shape"][0], t[0]), default=(None, None))
            if name is None:
                return
            f.seek(start + entry["data_offsets"][0])
            rows, cols = MATRIX, entry["shape"][1]
            yield name, np.frombuffer(f.read(rows * cols * 4), "<f4").reshape(rows, cols)[:, :VECTOR].astype(float)


def greedy(x, left, right, steps, tolerance):
    """x = u + left v right^T; (u, v, |r| / |x| after every step). `left` None: vectors, the columns of x, one after the
    other but in step; then each has its own branch."""
    vectors = left is None
    axis = 0 if vectors else None
    total = np.sqrt((x**2).sum(axis=axis))
    r, u, v, history = x.copy(), np.zeros_like(x), np.zeros_like(x), []
    count = len(x) if vectors else x.size
    for _ in range(steps):
        y = right.T @ r if vectors else left.T @ r @ right
        a, b = np.abs(r).sum(axis=axis), np.abs(y).sum(axis=axis)
        first = a > b
        to_u = np.where(first, a / count, 0) * np.sign(r)
        to_v = np.where(first, 0, b / count) * np.sign(y)
        u += to_u
        v += to_v
        r -= to_u + (right @ to_v if vectors else left @ to_v @ right.T)
        history.append(np.median(np.sqrt((r**2).sum(axis=axis)) / total))
        if history[-1] < tolerance:
            break
    return u, v, history


def clusters(u, v, bits, rounds=25):
    """The pairs as the means of 2^bits clusters; k-means on a sample, from the better of four grids."""
    pairs = np.stack([u.ravel(), v.ravel()], axis=1)
    sample = pairs[:: max(1, len(pairs) // 30_000)]

    def nearest(centers, points):
        return np.argmin((centers**2).sum(axis=1) - 2 * points @ centers.T, axis=1)

    best, least = None, np.inf
    for across, even in ((a, e) for a in {(bits + 1) // 2, bits // 2} for e in (False, True)):
        grid = []
        for t, n in ((u, 2**across), (v, 2 ** (bits - across))):
            at = (np.arange(n) + 0.5) / n
            grid.append(t.min() + (t.max() - t.min()) * at if even else np.quantile(t, at))
        centers = np.array([(a, b) for a in grid[0] for b in grid[1]])
        for _ in range(rounds):
            at = nearest(centers, sample)
            weight = np.bincount(at, minlength=len(centers))
            for k in range(2):
                sums = np.bincount(at, sample[:, k], minlength=len(centers))
                centers[:, k] = np.where(weight > 0, sums / np.maximum(weight, 1), centers[:, k])
        error = ((sample - centers[nearest(centers, sample)]) ** 2).sum()
        if error < least:
            best, least = centers, error
    found = best[np.concatenate([nearest(best, part) for part in np.array_split(pairs, 16)])]
    return found[:, 0].reshape(u.shape), found[:, 1].reshape(v.shape)


def lloyd(x, bits, rounds=60):
    levels = np.quantile(x, (np.arange(2**bits) + 0.5) / 2**bits)
    for _ in range(rounds):
        at = np.searchsorted((levels[1:] + levels[:-1]) / 2, x.ravel())
        weight = np.maximum(np.bincount(at, minlength=len(levels)), 1)
        levels = np.sort(np.bincount(at, x.ravel(), minlength=len(levels)) / weight)
    return levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, x)]


def write_csv(path, rows):
    with open(path, "w", newline="") as out:
        table = csv.DictWriter(out, rows[0], lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


def main():
    out, model = pathlib.Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
    out.mkdir(parents=True, exist_ok=True)
    convergence, peaks, bits_rows, panels = [], [], [], []
    for source, values in sources(model, np.random.default_rng(1)):
        curves = {"vector": {}, "matrix": {}, "bits": {}}
        x = np.ascontiguousarray(values[:64].T)
        square = values[:, :MATRIX] / np.linalg.norm(values[:, :MATRIX])
        for basis, make in BASES.items():
            rng = np.random.default_rng(2)
            u, v, history = greedy(x, None, make(VECTOR, rng), STEPS, TOLERANCE)
            curves["vector"][basis] = [(i + 1, h) for i, h in enumerate(history)]
            rms = np.sqrt((x**2).mean(axis=0))
            row = {"source": source, "basis": basis, "vector_steps": len(history), "vector_left": float(history[-1]),
                   "peak_x": float(np.median(np.abs(x).max(axis=0) / rms)),
                   "peak_u": float(np.median(np.abs(u).max(axis=0) / rms)),
                   "peak_v": float(np.median(np.abs(v).max(axis=0) / rms))}
            left, right = make(MATRIX, rng), make(MATRIX, rng)
            u, v, history = greedy(square, left, right, STEPS, TOLERANCE)
            curves["matrix"][basis] = [(i + 1, h) for i, h in enumerate(history)]
            scale = np.sqrt((square**2).mean())
            row |= {"matrix_steps": len(history), "matrix_left": float(history[-1]),
                    "matrix_peak_x": float(np.abs(square).max() / scale),
                    "matrix_peak_u": float(np.abs(u).max() / scale), "matrix_peak_v": float(np.abs(v).max() / scale)}
            peaks.append(row)
            print(row, file=sys.stderr)
            for form, curve in (("vector", curves["vector"][basis]), ("matrix", curves["matrix"][basis])):
                convergence += [{"source": source, "form": form, "basis": basis, "step": i, "left": float(h)}
                                for i, h in curve if i % 5 == 0 or i == len(curve)]
            for bits in range(2, 7):
                a, b = clusters(u, v, bits)
                nmse = float(((square - a - left @ b @ right.T) ** 2).sum())
                bits_rows.append({"source": source, "basis": basis, "bits": bits, "nmse": nmse})
                curves["bits"].setdefault(basis, []).append((bits, nmse))
        for bits in range(2, 7):
            nmse = float(((square - lloyd(square, bits)) ** 2).sum())
            bits_rows.append({"source": source, "basis": "Lloyd-Max of X", "bits": bits, "nmse": nmse})
            curves["bits"].setdefault("Lloyd-Max of X", []).append((bits, nmse))
        panels += [svg_plot.Panel(f"{source}: vectors", "sign steps", "what is left of |x|", curves["vector"], ylog=True),
                   svg_plot.Panel(f"{source}: matrix", "sign steps", "what is left of |X|", curves["matrix"], ylog=True),
                   svg_plot.Panel(f"{source}: matrix", "bits per weight", "nmse", curves["bits"], ylog=True)]
    write_csv(out / "convergence.csv", convergence)
    write_csv(out / "peaks.csv", peaks)
    write_csv(out / "bits.csv", bits_rows)
    svg_plot.write(out / "kashin.svg", panels, columns=3)


main()
