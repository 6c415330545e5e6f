"""Global against local principal axes with equal side information: does a piecewise linear map concentrate more? numpy."""
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent / "theory"))
import coordinates as co

CLUSTERS, AXES, ROWS, NMSE = 8, (1, 3, 7), 4096, 1 / 16


def spectrum(x):
    """Energies of the principal components of the centred rows, falling, with zeros up to the number of columns."""
    d = x - x.mean(axis=0)
    gram = d @ d.T if len(d) < d.shape[1] else d.T @ d
    value = np.linalg.eigvalsh(gram)[::-1].clip(0)
    return np.concatenate([value, np.zeros(d.shape[1] - len(value))])


def rate(parts, axes, error, cols):
    """Bits per element of a Gaussian code of clusters [(rows, spectrum)] with `axes` stored axes each, at this squared error
    per element: reverse water-filling, what the axes leave taken as isotropic. Side information is not counted."""
    components = []
    for rows, value in parts:
        rest = value[axes:].sum() / rows / max(cols - axes, 1)
        components.append((rows, np.concatenate([value[:axes] / rows, np.full(cols - axes, rest)])))
    total = sum(rows for rows, _ in components)
    low, high = 1e-12, max(v.max() for _, v in components)
    for _ in range(50):
        level = np.sqrt(low * high)
        made = sum(rows * np.minimum(v, level).sum() for rows, v in components) / (total * cols)
        low, high = (level, high) if made < error else (low, level)
    return sum(rows * np.maximum(0, 0.5 * np.log2(np.maximum(v, 1e-300) / high)).sum() for rows, v in components) / (total * cols)


def compare(x, rng):
    """For each number of axes: the energy beyond the axes and the bits at nmse 1/16, with CLUSTERS means and as many axes
    each, and with one mean and as many numbers in all. Rows scaled to unit rms; at most ROWS of them."""
    x = co.unit_rows(np.asarray(x, float))
    if len(x) > ROWS:
        x = x[np.sort(rng.choice(len(x), ROWS, replace=False))]
    at, cols = co.clusters(x, CLUSTERS, rng), x.shape[1]
    local = [(int((at == c).sum()), spectrum(x[at == c])) for c in np.unique(at)]
    whole, energy = [(len(x), spectrum(x))], float((x * x).sum())
    names = -sum(rows / len(x) * np.log2(rows / len(x)) for rows, _ in local) / cols
    out = []
    for axes in AXES:
        one = CLUSTERS * (axes + 1) - 1
        if one >= cols or min(rows for rows, _ in local) <= axes + 1:
            continue
        out.append({"axes": axes, "side_bpw": 16 * CLUSTERS * (axes + 1) / len(x), "names_bpw": names,
                    "left_global": float(whole[0][1][one:].sum() / energy),
                    "left_local": float(sum(v[axes:].sum() for _, v in local) / energy),
                    "bits_global": rate(whole, one, NMSE * energy / x.size, cols),
                    "bits_local": rate(local, axes, NMSE * energy / x.size, cols) + names})
    return out
