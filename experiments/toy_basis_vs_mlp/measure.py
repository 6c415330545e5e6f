#!/usr/bin/env python3
"""The measurements of this experiment: writes *.csv beside this file, which figures.py turns into figures and tables.

    measure.py OCC OUT

OCC: the program. OUT: a folder for trained networks; those that are there are not trained again. Seeds are fixed.
"""
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # networks are trained side by side instead

import itertools
import multiprocessing
import sys
import tempfile
from pathlib import Path

import numpy as np

import mlp
import signals

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parent / "theory")]
import common
import coordinates as co

SEED, BITS, TARGETS = 1, (2, 3, 4, 6, 8), (1e-2, 1e-3, 1e-4)
PARAMETER_BITS = (2, 3, 4, 6, 8, 10, 12, 14, 16, 18)
NUMBER_BYTES = 2  # of a number that is stored as f16: ranges, scales, means
CASES = {"A": ("A", False), "B": ("B", False), "A, whole": ("A", True), "B, whole": ("B", True)}
NETWORKS = [(a, layers, width, mlp.SLOPE[a]) for a, layers, width in itertools.product(mlp.SLOPE, (2, 3, 4), (64, 128, 256))]
SLOPES = [(a, 3, 64, slope) for a in mlp.SLOPE for slope in (1.0, 10.0, 30.0, 100.0, 300.0)]


def truth(case):
    kind, whole = CASES[case]
    return signals.parameters(kind, np.random.default_rng(SEED), whole)


def nmse(y, x):
    return float(((np.asarray(y, float) - x) ** 2).sum() / (x * x).sum())


# Networks.


def train(job):
    case, (activation, layers, width, slope), path, steps = job
    if not path.exists():
        x = signals.evaluate(truth(case))
        at = signals.split(np.random.default_rng(SEED))
        scale = x.std()
        p = mlp.train(signals.T[at].astype("f4"), (x[at] / scale).astype("f4"), width, layers, activation,
                      np.random.default_rng(SEED), steps, slope=slope)
        p[len(p) // 2 - 1] *= np.float32(scale)
        p[-1] *= np.float32(scale)
        np.savez(path.with_suffix(".part.npz"), *p)
        path.with_suffix(".part.npz").rename(path)
    with np.load(path) as stored:
        return [stored[f"arr_{i}"] for i in range(len(stored.files))]


def networks(out, cases=("A", "B"), shapes=None, steps=5000):
    """{(case, activation, layers, width, slope): parameters}, trained on two cores."""
    keys = [(case, *n) for case in cases for n in shapes or dict.fromkeys(NETWORKS + SLOPES * (case == "A"))]
    jobs = [(k[0], k[1:], Path(out) / f"{k[0]}-{k[1]}-{k[2]}x{k[3]}-{k[4]:g}.npz", steps) for k in keys]
    with multiprocessing.Pool(2) as pool:
        found = []
        for k, p in zip(keys, pool.imap(train, jobs)):
            found.append(p)
            print(*k, file=sys.stderr)
    return dict(zip(keys, found))


# Codes. A code returns what is decoded, and its bytes.


def levels(x, bits, low, high):
    """Numbers of evenly spaced levels, the outermost at low and high."""
    step = np.where(high > low, (high - low) / (2**bits - 1), 1)
    return np.clip(np.rint((x - low) / step), 0, 2**bits - 1), step


def entropy_bytes(symbols):
    """Bytes at the entropy of the histogram of all symbols."""
    share = np.unique(symbols, return_counts=True)[1] / symbols.size
    return float(-(share * np.log2(share)).sum() * symbols.size / 8)


def code_truth(p, bits):
    """Amplitudes, frequencies and phases each between their least and largest. (decoded, bytes, bytes by entropy)"""
    low, high = p.min(axis=0), p.max(axis=0)
    k, step = levels(p, bits, low, high)
    ranges = 2 * NUMBER_BYTES * p.shape[1]
    return low + k * step, np.ceil(p.size * bits / 8) + ranges, entropy_bytes(k) + ranges


def code_top(c, k, bits):
    """The k strongest frequencies: their numbers, one scale, real and imaginary parts."""
    at = signals.top(c, k)
    high = np.abs(c[:, at]).max()
    symbols, step = levels(c[:, at], bits, -high, high)
    out = np.zeros_like(c)
    out[:, at] = symbols * step - high
    n = c.shape[1]
    places = sum(np.log2((n - i) / (k - i)) for i in range(k)) / 8
    return out, np.ceil(2 * k * bits / 8 + places) + NUMBER_BYTES, entropy_bytes(symbols) + places + NUMBER_BYTES


def rotation(n):
    """Random signs and a Hadamard transform of n inputs."""
    return np.random.default_rng(SEED).choice([-1.0, 1.0], n)[:, None] * co.hadamard(n)


def inner(p):
    """The matrices between hidden layers. All else is stored as f16 at any rate: less than 3 % of the numbers."""
    return range(1, len(p) // 2 - 1)


def with_inner(p, coded):
    out = [x.astype("f2").astype("f4") for x in p]
    for i, x in zip(inner(p), coded):
        out[i] = x
    return out


def outer_bytes(p):
    return NUMBER_BYTES * sum(x.size for i, x in enumerate(p) if i not in inner(p))


def code_network(p, bits, rotated=False):
    """Every row between plus and minus its largest magnitude."""
    out, size, entropy = [], outer_bytes(p), outer_bytes(p)
    for i in inner(p):
        q = rotation(p[i].shape[1]) if rotated else np.eye(p[i].shape[1])
        rows = p[i].astype(float) @ q
        high = np.abs(rows).max(axis=1, keepdims=True)
        k, step = levels(rows, bits, -high, high)
        out.append(((k * step - high) @ q.T).astype("f4"))
        scales = NUMBER_BYTES * len(rows)
        size, entropy = size + np.ceil(k.size * bits / 8) + scales, entropy + entropy_bytes(k) + scales
    return with_inner(p, out), size, entropy


class Codec:
    """Matrices and networks through the program; bytes are all that a file stores for the tensors."""

    def __init__(self, occ, scratch):
        self.occ, self.at = occ, Path(scratch)

    def arrays(self, arrays, *how):
        np.savez(self.at / "x.npz", **{f"x{i}": np.asarray(x, "f4") for i, x in enumerate(arrays)})
        report = self.occ.compress(self.at / "x.npz", self.at / "x.occ", *how)
        self.occ.run("decompress", self.at / "x.occ", "-o", self.at / "y.safetensors", "--force", "--no-sync")
        found = common.read_safetensors(self.at / "y.safetensors")[1]
        return [np.array(found[f"x{i}"]) for i in range(len(arrays))], sum(t["bytes"] for t in report["tensors"])

    def network(self, p, *how):
        found, size = self.arrays([p[i] for i in inner(p)], *how)
        return with_inner(p, found), size + outer_bytes(p)

    def residual(self, x, part, target):
        """Bytes of the FFT of x - part with which at most target |x|^2 is left."""
        left = signals.fft(x - part)
        energy, allowed = (left**2).sum(), target * (x * x).sum()
        return 0 if energy <= allowed else self.arrays([left], "--method", "trellis", "--nmse", allowed / energy)[1]


# Records.


def shape_row(case, what, system, arrays):
    """Flat or concentrated: figures of all numbers together, those of each array divided by its rms first."""
    x = np.concatenate([(a / np.sqrt((a * a).mean())).ravel() for a in arrays]).astype(float)
    k = np.rint(x / 0.5)
    return {"signal": case, "numbers of": what, "system": system, "count": x.size, "max_over_rms": co.max_over_rms(x),
            "kurtosis": co.kurtosis(x), "beyond_3_sigma": co.beyond_3_sigma(x), "top1": co.top_energy(x, 0.01),
            "top5": co.top_energy(x, 0.05), "top10": co.top_energy(x, 0.1),
            "below_tenth": float((np.abs(x) < 0.1).mean()), "entropy": 8 * entropy_bytes(k) / x.size}


def measure(occ, scratch, trained, cases=tuple(CASES)):
    """{name of a record: rows} for the signals and for networks {key: parameters} of them."""
    codec, rows = Codec(occ, scratch), {n: [] for n in ("networks", "rate", "fft", "shape", "residual")}

    def rate(case, what, code, bits, size, entropy, y):
        rows["rate"].append({"signal": case, "representation": what, "code": code, "bits": bits, "bytes": size,
                             "entropy_bytes": entropy, "nmse": nmse(y, signals.evaluate(truth(case)))})

    for case in cases:
        p, x = truth(case), signals.evaluate(truth(case))
        c = signals.fft(x)
        for bits in PARAMETER_BITS:
            decoded, size, entropy = code_truth(p, bits)
            rate(case, "true parameters", "uniform", bits, size, entropy, signals.evaluate(decoded))
        for k in (5, 10, 20, 40, 80, 160, 320, 640):
            kept = np.zeros_like(c)
            kept[:, signals.top(c, k)] = c[:, signals.top(c, k)]
            rows["fft"].append({"signal": case, "kept": k, "nmse": nmse(kept, c)})
            for bits in BITS:
                decoded, size, entropy = code_top(c, k, bits)
                rate(case, f"FFT, top {k}", "uniform", bits, size, entropy, signals.inverse_fft(decoded))
        for step in (1.0, 0.5, 0.25, 0.125, 0.06, 0.03, 0.015, 0.008, 0.004):
            (decoded,), size = codec.arrays([c], "--recipe", f"trellis(step={step}) > rans")
            rate(case, "FFT", "occ", "", size, "", signals.inverse_fft(decoded.astype(float)))
        rows["shape"] += [shape_row(case, "samples", "as they are", [x]), shape_row(case, "samples", "FFT", [c]),
                          shape_row(case, "samples", "signs > hadamard", [x[None] @ rotation(len(x))])]
        parts = {"nothing": (0, np.zeros_like(x))}
        for count in (signals.SINES, 2 * signals.SINES):
            found = signals.pursuit(x, count)
            for bits in (12, 16):
                decoded, size, _ = code_truth(found, bits)
                parts[f"{count} sines found, {bits} bits"] = (int(size), signals.evaluate(decoded))
        for key, network in trained.items():
            if key[0] == case and key[2:] == (3, 64, mlp.SLOPE[key[1]]):
                decoded, size = codec.network(network, "--recipe", common.trellis(6))
                parts[f"{key[1]} 3 x 64, 6 bits"] = (size, mlp.value(decoded, signals.T, key[1]))
        for name, (size, part) in parts.items():
            for target in TARGETS:
                rows["residual"].append({"signal": case, "part": name, "part_bytes": size, "part_nmse": nmse(part, x),
                                         "target": target, "bytes": size + codec.residual(x, part, target)})
        print(case, file=sys.stderr)

    for (case, activation, layers, width, slope), p in trained.items():
        x, at = signals.evaluate(truth(case)), signals.split(np.random.default_rng(SEED))
        y = mlp.value(p, signals.T, activation)
        rows["networks"].append({"signal": case, "activation": activation, "layers": layers, "width": width, "slope": slope,
                                 "parameters": sum(a.size for a in p), "train_nmse": nmse(y[at], x[at]),
                                 "test_nmse": nmse(y[~at], x[~at])})
        if slope != mlp.SLOPE[activation]:
            continue
        what = f"{activation} {layers} x {width}"
        weights = [p[i] for i in inner(p)]
        turned = [w.astype(float) @ rotation(w.shape[1]) for w in weights]
        rows["shape"] += [shape_row(case, what, "as trained", weights), shape_row(case, what, "signs > hadamard", turned)]
        rate(case, what, "f32", 32, 4 * sum(a.size for a in p), "", y)
        for bits in BITS:
            for rotated in (False, True):
                decoded, size, entropy = code_network(p, bits, rotated)
                rate(case, what, "uniform, rotated" if rotated else "uniform", bits, size, entropy,
                     mlp.value(decoded, signals.T, activation))
            decoded, size = codec.network(p, "--recipe", common.trellis(bits))
            rate(case, what, "occ", bits, size, "", mlp.value(decoded, signals.T, activation))
    return rows


def pictures(trained):
    """Rows for the figures: a part of the signals with fits, and histograms."""
    fits, histograms = [], []
    at = slice(1024, 1024 + 256)
    for case in ("A", "B"):
        x, c = signals.evaluate(truth(case)), signals.fft(signals.evaluate(truth(case)))
        kept = np.zeros_like(c)
        kept[:, signals.top(c, 20)] = c[:, signals.top(c, 20)]
        curves = {"signal": x, "FFT, top 20": signals.inverse_fft(kept)}
        counted = {"samples": [x], "FFT": [c]}
        for activation in mlp.SLOPE:
            key = (case, activation, 3, 256, mlp.SLOPE[activation])
            curves[f"{activation} 3 x 256"] = mlp.value(trained[key], signals.T, activation)
            counted[f"{activation} 3 x 256"] = trained[key][1:3]
            counted[f"{activation} 3 x 256, rotated"] = [w.astype(float) @ rotation(w.shape[1]) for w in trained[key][1:3]]
        fits += [{"signal": case, "curve": name, "t": t, "value": v} for name, y in curves.items()
                 for t, v in zip(signals.T[at][::2], y[at][::2])]
        edges = np.arange(-6, 6.01, 0.25)
        for name, arrays in counted.items():
            x = np.concatenate([(a / np.sqrt((a * a).mean())).ravel() for a in arrays])
            share = np.histogram(x.clip(-5.99, 5.99), edges)[0] / len(x)
            histograms += [{"signal": case, "numbers of": name, "at": a, "share": s} for a, s in zip(edges[:-1] + 0.125, share)]
    return {"fits": fits, "histograms": histograms}


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
    trained = networks(sys.argv[2])
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(common.Occ(sys.argv[1]), scratch, trained) | pictures(trained)
    for name, rows in found.items():
        common.write_csv(HERE / f"{name}.csv", rows)


if __name__ == "__main__":
    main()
