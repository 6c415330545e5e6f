"""Multi-layer perceptrons of one input and one output, and Adam (Kingma and Ba 2015). numpy, float32."""
import numpy as np

SLOPE = {"relu": 10.0, "tanh": 100.0}  # of the first layer, as it is initialised


def initial(width, layers, activation, rng, slope):
    """[W0, ..., b0, ...]: `layers` hidden layers. Weights as He et al. have them (relu) or LeCun (tanh), but for the first
    layer: slopes N(0, slope^2), kinks (places where a unit is 0) uniform in [0, 1]."""
    sizes = [1] + [width] * layers + [1]
    gain = 2 if activation == "relu" else 1
    weights = [rng.standard_normal((o, i)) * np.sqrt(gain / i) for i, o in zip(sizes, sizes[1:])]
    weights[-1] /= np.sqrt(gain)
    weights[0] = slope * rng.standard_normal((width, 1))
    biases = [np.zeros(o) for o in sizes[1:]]
    biases[0] = -weights[0][:, 0] * rng.uniform(0, 1, width)
    return [p.astype("f4") for p in weights + biases]


def activate(z, activation):
    return np.maximum(z, 0) if activation == "relu" else np.tanh(z)


def forward(p, t, activation):
    """All layers' outputs for inputs t [N]; the last is [N, 1]."""
    n, h = len(p) // 2, [np.asarray(t, "f4")[:, None]]
    for i in range(n):
        z = h[-1] @ p[i].T + p[n + i]
        h.append(z if i == n - 1 else activate(z, activation))
    return h


def value(p, t, activation):
    return forward(p, t, activation)[-1][:, 0]


def gradients(p, t, y, activation):
    """Of the mean squared error."""
    n, h = len(p) // 2, forward(p, t, activation)
    g = (h[-1] - np.asarray(y, "f4")[:, None]) * np.float32(2 / len(t))
    out = [None] * len(p)
    for i in range(n - 1, -1, -1):
        if i < n - 1:
            g = g * (h[i + 1] > 0) if activation == "relu" else g * (1 - h[i + 1] ** 2)
        out[i], out[n + i] = g.T @ h[i], g.sum(axis=0)
        if i:
            g = g @ p[i]
    return out


def train(t, y, width, layers, activation, rng, steps=5000, batch=256, rate=1e-3, slope=None):
    """Adam with the usual .9 and .999 on batches that are drawn anew for every step."""
    p = initial(width, layers, activation, rng, slope or SLOPE[activation])
    m, v = [np.zeros_like(x) for x in p], [np.zeros_like(x) for x in p]
    for step in range(1, steps + 1):
        at = rng.integers(0, len(t), batch)
        first, second = np.float32(rate / (1 - 0.9**step)), np.float32(1 / (1 - 0.999**step))
        for i, g in enumerate(gradients(p, t[at], y[at], activation)):
            m[i] += np.float32(0.1) * (g - m[i])
            v[i] += np.float32(0.001) * (g * g - v[i])
            p[i] -= first * m[i] / (np.sqrt(v[i] * second) + np.float32(1e-8))
    return p
