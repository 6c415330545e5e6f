#!/usr/bin/env python3
"""The measurements of docs/theory: writes experiments/theory/*.csv, which figures.py turns into the figures and tables.

    measure.py OCC DATA MINILM SMOLLM2 [PART ...]

OCC: the program. DATA: the folder of data sets. MINILM: folder of all-MiniLM-L6-v2. SMOLLM2: SmolLM2-135M-Instruct as a
folder in f32 (`occ decompress FILE.gguf -o SMOLLM2 --dtype f32`). Parts: operator coordinates order manifold metric
asymmetric. Seed 1 everywhere; forms made at random in `operator`: seeds 1 to 3. Minutes of two cores.
"""
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent))
import common
import coordinates as co
import models

HERE = Path(__file__).resolve().parent
SEED = 1


def write(part, rows):
    common.write_csv(HERE / f"{part}.csv", rows)


def gap(bpw, nmse):
    """Bits above the Gaussian limit at this error; nothing for a tensor that is kept as it was."""
    return bpw + 0.5 * float(np.log2(nmse)) if nmse else ""


def vectors(path):
    raw = np.fromfile(path, "<i4")
    return raw.reshape(-1, raw[0] + 1)[:, 1:].copy().view("<f4")


class Bench:
    def __init__(self, occ, data, minilm, smollm2, temporary):
        self.program, self.data, self.minilm, self.smollm2 = common.Occ(occ), Path(data), minilm, smollm2
        self.occ, self.at = self.program.run, Path(temporary)

    def code(self, x, *options):
        """(bits per weight of the tensor, nmse) of the matrix coded with these options."""
        np.save(self.at / "x.npy", np.ascontiguousarray(x, "f4"))
        report = self.program.compress(self.at / "x.npy", self.at / "x.occ", *options)["tensors"][0]
        return report["bpw"], report["nmse"]

    def decoded(self):
        self.occ("decompress", self.at / "x.occ", "-o", self.at / "y.npy", "--force")
        return np.load(self.at / "y.npy")

    def matrices(self):
        """name, matrix: weights of three models, vectors, and what theory knows."""
        rng = np.random.default_rng(SEED)
        _, mini = models.read(self.minilm)
        _, smol = models.read(self.smollm2)
        yield "normal", rng.standard_normal((1536, 384))
        yield "AR(1), .95", co.ar1(4096, 128, 0.95, rng)
        yield "MiniLM word embeddings", mini["embeddings.word_embeddings.weight"][2000:10192]
        yield "MiniLM positions", mini["embeddings.position_embeddings.weight"]
        for name in ("0.attention.self.query", "0.intermediate.dense", "3.intermediate.dense", "3.output.dense",
                     "5.attention.output.dense"):
            yield f"MiniLM {name}", mini[f"encoder.layer.{name}.weight"]
        yield "SmolLM2 embeddings", smol["model.embed_tokens.weight"][2000:10192]
        for name in ("0.self_attn.k_proj", "15.self_attn.q_proj", "15.self_attn.o_proj", "15.mlp.up_proj", "15.mlp.down_proj"):
            yield f"SmolLM2 {name}", smol[f"model.layers.{name}.weight"]
        yield "SIFT vectors", vectors(self.data / "vectors/sift5k_base4500.fvecs")


RECIPES = {"identity": "", "signs > hadamard": "signs > hadamard > ", "dct": "dct > ", "pca": "pca > "}


def coordinates(bench):
    """Flattening, concentration, and bits at equal error by real coding, by matrix and coordinate system."""
    rows = []
    for name, x in bench.matrices():
        x = np.asarray(x, float)
        for system, y in co.systems(x, np.random.default_rng(SEED)).items():
            even = co.unit_rows(y)
            row = {"matrix": name, "rows": x.shape[0], "cols": x.shape[1], "system": system,
                   "max_over_rms": co.max_over_rms(y), "kurtosis": co.kurtosis(y), "beyond_3_sigma": co.beyond_3_sigma(y),
                   "unit_rows_max": co.max_over_rms(even), "unit_rows_kurtosis": co.kurtosis(even),
                   "top5_energy": co.top_energy(y, 0.05), "column_gain": co.column_gain(y)}
            bpw, nmse = bench.code(x, "--recipe", RECIPES[system] + "trellis(step=0.4) > rans(tables=64)")
            row |= {"trellis_bpw": bpw, "trellis_nmse": nmse, "trellis_gap": gap(bpw, nmse)}
            bpw, nmse = bench.code(x, "--recipe", RECIPES[system] + "lloyd(bits=3) > bitpack")
            row |= {"lloyd_bpw": bpw, "lloyd_nmse": nmse, "lloyd_gap": gap(bpw, nmse)}
            rows.append({k: float(v) if isinstance(v, np.floating) else v for k, v in row.items()})
        print(name, file=sys.stderr)
    write("coordinates", rows)


def order(bench):
    """Is there a frequency? Gain of fixed transforms over the columns as they are, shuffled, and with random signs."""
    rows = []
    for name, x in bench.matrices():
        rng = np.random.default_rng(SEED)
        x = np.asarray(x, float)
        for axis, m in (("columns", x), ("rows", x.T)):
            if axis == "rows" and m.shape[1] > 1600:
                continue
            n = m.shape[1]
            shuffled, signed = m[:, rng.permutation(n)], m * rng.choice([-1.0, 1.0], n)
            row = {"matrix": name, "axis": axis, "length": n, "identity": co.column_gain(m)}
            for transform, q in (("dct", co.dct(n)), ("hadamard", co.hadamard(n))):
                row |= {transform: co.column_gain(m @ q), f"{transform}_shuffled": co.column_gain(shuffled @ q),
                        f"{transform}_signs": co.column_gain(signed @ q)}
            rows.append(row)
    write("order", rows)


def manifold(bench):
    """Intrinsic dimension and bits of piecewise linear coordinates, of rows of unit size and of Gaussian surrogates."""
    rows = []
    sheet = co.curved_sheet(4096, 64, np.random.default_rng(SEED))
    for name, x in (("curved sheet", sheet), *bench.matrices()):
        if name.startswith("AR") or len(x) < 1000:
            continue
        rng = np.random.default_rng(SEED)
        x = co.unit_rows(np.asarray(x, float))
        x = x[rng.choice(len(x), min(len(x), 4096), replace=False)]
        row = {"matrix": name, "rows": x.shape[0], "cols": x.shape[1]}
        for kind, y in (("", x), ("surrogate_", co.surrogate(x, rng))):
            row |= {f"{kind}two_nn": co.two_nn(y, rng), f"{kind}kin": co.kin_gain(y)}
            distortion = 0.0625 * float((y * y).mean())
            for count in (1, 4, 16):
                at = np.zeros(len(y), int) if count == 1 else co.clusters(y, count, np.random.default_rng(SEED))
                row[f"{kind}bits_{count}"] = co.piecewise_rate(y, at, distortion)
                row[f"{kind}free_{count}"] = co.piecewise_rate(y, at, distortion, charged=False)
        rows.append(row)
        print(name, file=sys.stderr)
    write("manifold", rows)


def operator(bench):
    """stories260k in equivalent forms: distance of the weights, of the function, and what 4 bits do to each."""
    source = bench.data / "models/stories260k"
    config, w = models.fold_norms(*models.read(source))

    def rotated(seed):
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], 64)
        return models.rotate_stream(config, w, (signs[:, None] * co.hadamard(64)).astype("f4"))

    def rescaled(seed):
        return models.scale_neurons(
            config, w, lambda up, down: np.exp(np.random.default_rng(seed).standard_normal(len(up))))

    forms = {"norms folded into weights": lambda seed: w, "residual stream rotated": rotated,
             "values mixed, spread 1": lambda seed: models.mix_values(config, w, np.random.default_rng(seed), 1.0),
             "neurons rescaled, spread 1": rescaled,
             "neurons balanced": lambda seed: models.scale_neurons(config, w, models.balanced)}
    text = bench.at / "stories.txt"
    text.write_bytes((bench.data / "text/tinystories_a.txt").read_bytes()[:60000])

    def kl(file):
        return bench.program.json("evaluate", file, "--reference", source, "--text", text, "--context", 256)["kl_mean"]

    rows, base = [], np.concatenate([v.ravel() for v in w.values()])
    for form, make in forms.items():
        for seed in range(SEED, SEED + (1 if form.startswith("n") and "rescaled" not in form else 3)):
            weights, folder = make(seed), bench.at / "form"
            models.write(folder, source, config, {k: np.asarray(v, "f4") for k, v in weights.items()})
            flat = np.concatenate([weights[k].ravel() for k in w])
            row = {"form": form, "seed": seed, "weights_moved": float(((flat - base) ** 2).sum() / (base**2).sum()),
                   "kl_before": kl(folder)}
            for method in ("auto", "rtn"):
                report = bench.program.compress(folder, bench.at / "m.occ", "--method", method, "--bits", 4, "--no-calibrate")
                row |= {f"{method}_bpw": report["bpw"], f"{method}_nmse": report["nmse"], f"{method}_kl": kl(bench.at / "m.occ")}
            rows.append(row)
            print(form, file=sys.stderr)
    write("operator", rows)


def metric(bench, layers=(5, 20), sequences=16, length=256):
    """Layers of SmolLM2 with their real inputs: what the metric of the inputs promises, and what coding gets of it."""
    config, w = models.read(bench.smollm2)
    text = bench.at / "text.txt"
    text.write_bytes((bench.data / "text/c4_calibration.txt").read_bytes()[:60000])
    ids = np.array(bench.program.json("tokenize", bench.smollm2, "--text", text)["tokens"])
    ids = ids[: sequences * length].reshape(sequences, length)
    rows = []
    for layer, name, x in ((i, *pair) for i in layers for pair in models.layer_inputs(config, w, ids, i).items()):
        weight = np.asarray(w[f"model.layers.{layer}.{name}"], float)
        h = x.T.astype(float) @ x / len(x)
        value = np.linalg.eigvalsh(h).clip(1e-30)
        np.save(bench.at / "inputs.npy", x.astype("f4"))
        damped = h + 0.01 * value.mean() * np.eye(len(h))
        innovations = np.diag(np.linalg.cholesky(damped)) ** 2
        row = {"matrix": f"SmolLM2 {layer}.{name.removesuffix('.weight')}", "rows": weight.shape[0], "cols": weight.shape[1],
               "tokens": len(x), "gain_diagonal": co.coding_gain(np.diag(damped)),
               "gain_innovations": co.coding_gain(innovations), "gain_eigenvalues": co.coding_gain(np.linalg.eigvalsh(damped))}
        energy = np.einsum("ri,ij,rj->", weight, h, weight, optimize=True)
        for code, prefix, known in (("plain", "", False), ("feedback", "", True), ("rotated", "signs > hadamard > ", True),
                                    ("eigenbasis", "pca(of=hessian) > ", True)):
            for step in (0.5, 0.25):
                bpw, nmse = bench.code(weight, "--recipe", f"{prefix}trellis(step={step}) > rans(tables=64)",
                                       *(("--activations", bench.at / "inputs.npy") if known else ()))
                if nmse == 0:
                    continue  # kept: the coded tensor would have been no smaller
                error = bench.decoded() - weight
                loss = float(np.einsum("ri,ij,rj->", error, h, error, optimize=True) / energy)
                basis = 16 * weight.shape[1] / weight.shape[0] if code == "eigenbasis" else 0.0
                row |= {f"{code}_{step}_bpw": bpw, f"{code}_{step}_nmse": nmse, f"{code}_{step}_weighted": loss,
                        f"{code}_{step}_bits": bpw + 0.5 * float(np.log2(loss)),
                        f"{code}_{step}_bits_without_basis": bpw - basis + 0.5 * float(np.log2(loss))}
        rows.append(row)
        print(name, file=sys.stderr)
    write("metric", rows)


def asymmetric(bench):
    """Levels of 3 bits with and without a zero point, in coordinates that are aligned and in others."""
    rng = np.random.default_rng(SEED)
    chosen = {"SIFT vectors", "MiniLM word embeddings", "MiniLM 3.intermediate.dense", "SmolLM2 15.mlp.up_proj"}
    rows = []
    for name, x in (("magnitudes of normal values", np.abs(rng.standard_normal((4096, 256)))), *bench.matrices()):
        if name not in chosen and not name.startswith("magnitudes"):
            continue
        for system, prefix in RECIPES.items():
            for per in ("row", "column"):
                row = {"matrix": name, "system": system, "per": per}
                for zero in ("symmetric", "asymmetric"):
                    bpw, nmse = bench.code(x, "--recipe", f"{prefix}uniform(bits=3, per={per}, zero={zero}) > bitpack")
                    row |= {f"{zero}_bpw": bpw, f"{zero}_nmse": nmse, f"{zero}_gap": gap(bpw, nmse)}
                rows.append(row)
        print(name, file=sys.stderr)
    write("asymmetric", rows)


PARTS = {f.__name__: f for f in (operator, coordinates, order, manifold, metric, asymmetric)}


def main():
    if len(sys.argv) < 5 or not set(sys.argv[5:]) <= set(PARTS):
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(*sys.argv[1:5], temporary)
        for part in sys.argv[5:] or PARTS:
            PARTS[part](bench)


if __name__ == "__main__":
    main()
