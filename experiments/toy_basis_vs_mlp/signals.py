"""The signals, and the representations of a signal that have a formula: parameters, FFT, sines found by pursuit. numpy."""
import numpy as np

SAMPLES = 4096
T = np.arange(SAMPLES) / SAMPLES
LOW, HIGH = (1, 20), (40, 200)
SINES = 10  # in each of the two ranges


def parameters(case, rng, whole=False):
    """[20, 3]: amplitude, frequency, phase. Case A has amplitudes 1 (low) and 0.01 (high), B log-uniform in [0.01, 1].
    Frequencies are uniform in their range, or with `whole` different whole numbers of it."""
    draw = (lambda r: rng.choice(np.arange(r[0], r[1] + 1), SINES, replace=False)) if whole else (lambda r: rng.uniform(*r, SINES))
    frequency = np.concatenate([draw(LOW), draw(HIGH)])
    amplitude = np.repeat([1.0, 0.01], SINES) if case == "A" else 10 ** rng.uniform(-2, 0, 2 * SINES)
    return np.stack([amplitude, frequency, rng.uniform(0, 2 * np.pi, 2 * SINES)], axis=1)


def evaluate(p, t=T):
    return (p[:, 0] * np.sin(2 * np.pi * np.outer(t, p[:, 1]) + p[:, 2])).sum(axis=1)


def split(rng):
    """Which samples networks are trained on: 70 %."""
    train = np.zeros(SAMPLES, bool)
    train[rng.permutation(SAMPLES)[: int(0.7 * SAMPLES)]] = True
    return train


def fft(x):
    """Orthonormal coefficients as real numbers [2, N / 2]: cosines and sines of the frequencies 0 ... N / 2 - 1. The sine of
    frequency 0 holds the coefficient N / 2, as that of 0 is none."""
    c = np.fft.rfft(x) / np.sqrt(len(x) / 2)
    out = np.stack([c.real[:-1], c.imag[:-1]])
    out[:, 0] = c.real[0] / np.sqrt(2), c.real[-1] / np.sqrt(2)
    return out


def inverse_fft(c):
    n = 2 * c.shape[1]
    z = np.concatenate([c[0] + 1j * c[1], [0]])
    z[0], z[-1] = c[0, 0] * np.sqrt(2), c[1, 0] * np.sqrt(2)
    return np.fft.irfft(z * np.sqrt(n / 2), n)


def top(c, k):
    """The k frequencies of the most energy."""
    return np.sort(np.argsort((c * c).sum(axis=0))[::-1][:k])


def pursuit(x, count, rounds=6):
    """[count, 3] sines that were searched in the samples, without the truth: again and again the strongest frequency of what
    is left (FFT with eightfold zero padding), then Gauss-Newton on all amplitudes, phases and frequencies."""
    n, f = len(x), np.zeros(0)

    def fit(f):
        angle = 2 * np.pi * np.outer(T, f)
        basis = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
        weight = np.linalg.lstsq(basis, x, rcond=1e-8)[0]
        return basis, weight, x - basis @ weight

    left = x
    for _ in range(count):
        power = np.abs(np.fft.rfft(left, 8 * n))
        f = np.append(f, np.argmax(power) / 8)
        basis, weight, left = fit(f)
        for _ in range(rounds):
            k = len(f)
            slope = 2 * np.pi * T[:, None] * (basis[:, :k] * weight[k:] - basis[:, k:] * weight[:k])
            step = np.linalg.lstsq(np.concatenate([basis, slope], axis=1), left, rcond=1e-8)[0][2 * k:]
            moved = np.clip(f + np.clip(step, -0.25, 0.25), 0.05, n / 2)
            tried = fit(moved)
            if (tried[2] ** 2).sum() >= (left**2).sum():
                break
            f, (basis, weight, left) = moved, tried
    k = len(f)
    return np.stack([np.hypot(weight[:k], weight[k:]), f, np.arctan2(weight[:k], weight[k:])], axis=1)
