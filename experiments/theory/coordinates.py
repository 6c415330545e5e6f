"""Coordinate systems for the rows of a matrix, and how values lie in them (docs/theory). numpy only."""
import numpy as np


def hadamard(n):
    """Orthonormal [n, n]: Walsh-Hadamard for the power of two in n, Kronecker product with a DCT of the odd rest."""
    h, odd = np.ones((1, 1)), n
    while odd % 2 == 0:
        h, odd = np.block([[h, h], [h, -h]]) / np.sqrt(2), odd // 2
    return np.kron(h, dct(odd)) if odd > 1 else h


def dct(n):
    """The orthonormal DCT-II; columns are its basis vectors, from low to high frequency."""
    k, j = np.arange(n), np.arange(n)[:, None]
    c = np.sqrt(2 / n) * np.cos(np.pi * (2 * j + 1) * k / (2 * n))
    c[:, 0] /= np.sqrt(2)
    return c


def pca(x):
    """Eigenvectors of the second moments of the rows as columns, by falling eigenvalue."""
    return np.linalg.eigh(x.T @ x)[1][:, ::-1]


def systems(x, rng):
    """name -> the rows of x in that coordinate system."""
    n = x.shape[1]
    signs = rng.choice([-1.0, 1.0], n)
    return {"identity": x, "signs > hadamard": (x * signs) @ hadamard(n), "dct": x @ dct(n), "pca": x @ pca(x)}


def unit_rows(x):
    return x / np.sqrt((x * x).mean(axis=1, keepdims=True)).clip(1e-30)


def kurtosis(x):
    d = x - x.mean()
    return float((d**4).mean() / (d**2).mean() ** 2)


def max_over_rms(x):
    return float(np.abs(x).max() / np.sqrt((x * x).mean()))


def beyond_3_sigma(x):
    return float((np.abs(x) > 3 * np.sqrt((x * x).mean())).mean())


def top_energy(x, share):
    """The share of the energy that is in this share of the elements, the largest."""
    e = np.sort((x * x).ravel())[::-1]
    return float(e[: int(share * len(e))].sum() / e.sum())


def coding_gain(variances, floor=1e-9):
    """Bits per component that components with these variances save against equal ones: 1/2 log2(AM / GM)."""
    v = np.maximum(variances, floor * np.mean(variances))
    return float(0.5 * (np.log2(v.mean()) - np.log2(v).mean()))


def column_gain(x):
    return coding_gain((x * x).mean(axis=0))


def water_filling(variances, distortion):
    """Least bits per component of independent Gaussians at this mean squared error: reverse water-filling."""
    v, low, high = np.asarray(variances), 0.0, float(np.max(variances))
    if distortion >= v.mean():
        return 0.0
    for _ in range(60):
        level = (low + high) / 2
        low, high = (level, high) if np.minimum(v, level).mean() < distortion else (low, level)
    return float(np.maximum(0, 0.5 * np.log2(np.maximum(v, 1e-300) / high)).mean())


def ar1(rows, cols, rho, rng):
    """Rows of a stationary autoregression with unit variance and correlation rho of neighbours."""
    x = rng.standard_normal((rows, cols))
    for j in range(1, cols):
        x[:, j] = rho * x[:, j - 1] + np.sqrt(1 - rho * rho) * x[:, j]
    return x


def curved_sheet(rows, cols, rng, noise=0.1):
    """Points of a smooth curved surface of two dimensions in `cols` dimensions, with noise: a manifold by construction."""
    at = rng.uniform(-1, 1, (rows, 2))
    x = np.sin(2.5 * at @ rng.standard_normal((2, cols)) + rng.uniform(0, 2 * np.pi, cols))
    return x / x.std() + noise * rng.standard_normal((rows, cols))


def surrogate(x, rng):
    """Gaussian rows with the mean and the covariance of the rows of x: all that linear coordinates can see, nothing else."""
    mean = x.mean(axis=0)
    value, vector = np.linalg.eigh(np.cov(x.T))
    return mean + rng.standard_normal(x.shape) * np.sqrt(value.clip(0)) @ vector.T


def two_nn(x, rng, sample=3000):
    """Intrinsic dimension by the ratio of the distances to the two nearest neighbours (Facco et al. 2017): maximum
    likelihood, N / sum log(r2 / r1)."""
    if len(x) > sample:
        x = x[rng.choice(len(x), sample, replace=False)]
    square = (x * x).sum(axis=1)
    d = square[:, None] + square - 2 * x @ x.T
    np.fill_diagonal(d, np.inf)
    near = np.partition(d, 1, axis=1)[:, :2]
    near = near[near[:, 0] > 1e-9 * square.mean()]
    return float(len(near) / (0.5 * np.log(near[:, 1] / near[:, 0])).sum())


def kin_gain(x):
    """Bits per element that predicting each row from the one earlier row it is most alike saves at high rate, the number of
    that row charged: mean of max(0, -1/2 log2(1 - rho^2) - log2(rows before) / n), rho the correlation of the two."""
    y = x - x.mean(axis=0)
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    rho = np.abs(np.tril(y @ y.T, -1)).max(axis=1).clip(0, 1 - 1e-6)
    return float(np.maximum(0, -0.5 * np.log2(1 - rho**2) - np.log2(np.arange(len(x)) + 1) / x.shape[1]).mean())


def clusters(x, count, rng, rounds=12):
    """k-means of the rows: number of the cluster of every row."""
    centers, square = x[rng.choice(len(x), count, replace=False)], (x * x).sum(axis=1, keepdims=True)
    for _ in range(rounds):
        at = np.argmin(square - 2 * x @ centers.T + (centers**2).sum(axis=1), axis=1)
        for c in range(count):
            if (at == c).any():
                centers[c] = x[at == c].mean(axis=0)
    return at


def piecewise_rate(x, at, distortion, charged=True, number_bits=16):
    """Bits per element of a Gaussian code with one affine coordinate system for each cluster `at` of rows, at this mean
    squared error per element. A cluster has a mean and r basis vectors of `number_bits` each, r by least total bits; what
    the r leave is taken as isotropic. Rows store the entropy of the cluster's number. Not charged: codes only, all vectors."""
    n, parts, member = x.shape[1], [], 0.0
    for c in np.unique(at):
        rows = x[at == c]
        value = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False) ** 2 / len(rows)
        value = np.concatenate([value, np.zeros(n - len(value))])
        rest = np.concatenate([np.cumsum(value[::-1])[::-1], [0.0]])
        parts.append((len(rows), value, rest))
        member -= len(rows) / len(x) * np.log2(len(rows) / len(x))

    def half_log(v, level):
        return np.maximum(0, 0.5 * np.log2(np.maximum(v, 1e-300) / level))

    def at_level(level):
        bits = error = 0.0
        for count, value, rest in parts:
            r = np.arange(n + 1)
            mean = np.where(r < n, rest / np.maximum(n - r, 1), 0)
            total = np.concatenate([[0.0], np.cumsum(half_log(value, level))]) + (n - r) * half_log(mean, level)
            total = count * total + number_bits * n * (r + 1)
            k = int(np.argmin(total)) if charged else n
            bits += total[k] - (0 if charged else number_bits * n * (n + 1))
            error += count * (np.minimum(value[:k], level).sum() + (n - k) * min(mean[k], level))
        return bits / x.size, error / x.size

    low, high = 1e-9, 4.0 * float((x * x).mean())
    for _ in range(50):
        level = np.sqrt(low * high)
        low, high = (level, high) if at_level(level)[1] < distortion else (low, level)
    return float(at_level(high)[0] + (member / n if charged else 0))
