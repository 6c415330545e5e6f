"""Second decoder of the transforms: their inverses, written from docs/reference/format.md; numpy only.

    w = TRANSFORMS[name](params, side, y)     # y: f32 [rows, cols]; params: {key: text}; side: bytes
"""

import numpy as np

from occ_decode_range import RangeDecoder, get_integers, require

F32 = np.float32


def bf16(data):
    return (np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)).view(F32)


def random_words(seed, count):
    def mix(z):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))

    golden = np.array([0x9E3779B97F4A7C15], np.uint64)
    return mix(mix(np.array([seed], np.uint64) + golden) + np.arange(1, count + 1, dtype=np.uint64) * golden)


def inverse_signs(params, side, y):
    require(len(side) == 0, "signs: has no side information")
    by_column = params.get("axis", "in") == "in"
    n = y.shape[1] if by_column else y.shape[0]
    words = random_words(int(params.get("seed", 0)), -(-n // 64))
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), bitorder="little")[:n].astype(np.uint32) << np.uint32(31)
    return (y.view(np.uint32) ^ (bits[None, :] if by_column else bits[:, None])).view(F32)


def coded_scales(rows, steps, side):
    coded, models = RangeDecoder(side), {}
    zero = np.zeros(rows, bool)
    if coded.raw(1):
        zero[:] = [coded.get(models, 0) for _ in range(rows)]
    codes = np.array(get_integers(coded, rows - int(zero.sum())), np.int64)
    coded.finish()
    require((np.abs(codes) <= 120 * steps).all(), "rowscale: scale out of range")
    scales = np.zeros(rows, F32)
    fractions = np.exp2(np.arange(steps) / steps).astype(F32)
    scales[~zero] = np.ldexp(fractions[codes % steps], codes // steps)
    return scales


def inverse_rowscale(params, side, y):
    steps = int(params.get("steps", 0))
    if steps:
        scales = coded_scales(y.shape[0], steps, side)[:, None]
    else:
        require(len(side) == 2 * y.shape[0], "rowscale: wrong number of scales")
        scales = bf16(side)[:, None]
    return np.where(scales == 0, F32(0), y * scales)


def inverse_outliers(params, side, y):
    count = int(float(params.get("fraction", 0.0005)) * y.size)
    require(len(side) == 8 * count, "outliers: wrong size of side information")
    positions = np.frombuffer(side[: 4 * count], "<u4").astype(np.int64)
    require((np.diff(positions) > 0).all() and (positions < y.size).all(), "outliers: bad positions")
    out = y.copy()
    out.reshape(-1)[positions] = np.frombuffer(side[4 * count :], "<f4")
    return out


def inverse_rownorm(_, side, y):
    require(len(side) == 4 * y.shape[0], "rownorm: wrong number of scales")
    if not y.size:
        return y
    total = np.zeros(len(y))
    for j in range(8):
        part = np.zeros(len(y))
        for c in range(j, y.shape[1], 8):
            part += y[:, c].astype(np.float64) ** 2
        total += part
    root = np.sqrt(total / y.shape[1])
    wanted = np.where(root > 0, np.frombuffer(side, "<f4") / np.where(root > 0, root, 1), 0)
    largest = np.finfo(F32).max
    return np.clip(y * np.minimum(wanted, float(largest)).astype(F32)[:, None], -largest, largest)


def ordered_product(matrix, x):
    """matrix [m, k] times x [k, n]: sums over k in order, in chunks of 128."""
    out = None
    for first in range(0, matrix.shape[1], 128):
        total = np.zeros((matrix.shape[0], x.shape[1]), F32)
        for k in range(first, min(first + 128, matrix.shape[1])):
            total += matrix[:, k : k + 1] * x[k]
        out = total if out is None else out + total
    return out


def inverse_pca(params, side, y):
    rows, cols = y.shape
    block = min(int(params.get("block", 0)) or cols, cols)
    out, at = np.empty_like(y), 0
    for c in range(0, cols, max(block, 1)):
        n = min(block, cols - c)
        basis = np.frombuffer(side[at : at + 2 * n * n], "<f2").astype(F32).reshape(n, n)
        at += 2 * n * n
        out[:, c : c + n] = ordered_product(basis, np.ascontiguousarray(y[:, c : c + n].T)).T
    require(at == len(side), "pca: wrong size of side information")
    return out


def cos_pi(a, b):
    """cos(pi a / b) in doubles, the operations of docs/reference/format.md."""
    a %= 2 * b
    if a > b:
        a = 2 * b - a
    negative = 2 * a > b
    if negative:
        a = b - a
    small = 4 * a <= b
    x = 3.14159265358979323846 * float(a if small else b - 2 * a) / float(b if small else 2 * b)
    z = x * x
    if small:
        p = 1.0 / 20922789888000.0
        for f in (-1.0 / 87178291200.0, 1.0 / 479001600.0, -1.0 / 3628800.0, 1.0 / 40320.0, -1.0 / 720.0, 1.0 / 24.0,
                  -0.5, 1.0):
            p = p * z + f
    else:
        p = 1.0 / 355687428096000.0
        for f in (-1.0 / 1307674368000.0, 1.0 / 6227020800.0, -1.0 / 39916800.0, 1.0 / 362880.0, -1.0 / 5040.0,
                  1.0 / 120.0, -1.0 / 6.0):
            p = p * z + f
        p = p * z * x + x
    return -p if negative else p


def sin_pi(a, b):
    return cos_pi(2 * a + 3 * b, 2 * b)


ROOT_HALF = 0.70710678118654752440


def odd_matrix(m, kind):
    """f32 [m, m]. "dct3": element (j, k) of the transposed DCT-II; "dct4t": the transposed DCT-IV, rows reversed."""
    cosines = [cos_pi(t, 4 * m) for t in range(8 * m)]
    scale = float(np.sqrt(2.0 / m))
    out = np.empty((m, m), F32)
    for j in range(m):
        for k in range(m):
            if kind == "dct3":
                out[j, k] = scale * ROOT_HALF if k == 0 else scale * cosines[2 * (2 * j + 1) * k % (8 * m)]
            else:
                out[j, k] = scale * cosines[(2 * (m - 1 - j) + 1) * (2 * k + 1) % (8 * m)]
    return out


def plus(a, b):
    return (a + b) * F32(ROOT_HALF)


def minus(a, b):
    return (a - b) * F32(ROOT_HALF)


class InverseDct:
    """Inverse of the orthonormal DCT-II of length n along axis 0."""

    C8, S8 = F32(0.92387953251128675613), F32(0.38268343236508977173)
    C16, S16 = F32(0.98078528040323044913), F32(0.19509032201612826785)
    C316, S316 = F32(0.83146961230254523708), F32(0.55557023301960222474)

    def __init__(self, n):
        self.odd = n
        while self.odd % 2 == 0:
            self.odd //= 2
        self.matrices = {k: odd_matrix(self.odd, k) for k in ("dct3", "dct4t")} if self.odd > 1 else {}

    def three_of_4(self, y0, y1, y2, y3):
        e0, e1 = plus(y0, y2), minus(y0, y2)
        o0, o1 = y1 * self.C8 + y3 * self.S8, y1 * self.S8 - y3 * self.C8
        return [plus(e0, o0), plus(e1, o1), minus(e1, o1), minus(e0, o0)]

    def four_of_4(self, x0, x1, x2, x3):
        u0, v0 = x0 * self.C16 + x3 * self.S16, x0 * self.S16 - x3 * self.C16
        u1, v1 = x1 * self.C316 + x2 * self.S316, x1 * self.S316 - x2 * self.C316
        a, b = u0 - u1, v0 + v1
        return [plus(u0, u1), (a + b) * F32(0.5), (a - b) * F32(0.5), minus(v0, v1)]

    def three(self, y):
        n = len(y)
        if n == 1:
            return y
        if n % 2:
            return ordered_product(self.matrices["dct3"], y)
        if self.odd == 1 and n <= 8:
            if n == 2:
                return np.stack([plus(y[0], y[1]), minus(y[0], y[1])])
            if n == 4:
                return np.stack(self.three_of_4(*y))
            e, o = self.three_of_4(*y[0::2]), self.four_of_4(*y[1::2])
            e, o = np.stack(e), np.stack(o)
        else:
            e, o = self.three(y[0::2]), self.four(y[1::2])[::-1]
        return np.concatenate([plus(e, o), minus(e, o)[::-1]])

    def four(self, y):
        """The output in reverse order."""
        n = len(y)
        if n == 1:
            return y
        if n % 2:
            return ordered_product(self.matrices["dct4t"], y)
        half = n // 2
        even, rest = np.empty_like(y[:half]), np.empty_like(y[:half])
        even[0], rest[0] = y[0], -y[n - 1]
        for p in range(1, half):
            swap = (half - p) % 2
            s, d = y[2 * p - swap], y[2 * p - 1 + swap]
            even[p], rest[half - p] = plus(s, d), minus(s, d)
        u, r = self.three(even), self.three(rest)[::-1]  # element j of both
        c = np.array([cos_pi(2 * j + 1, 4 * n) for j in range(half)])[:, None]
        s = np.array([sin_pi(2 * j + 1, 4 * n) for j in range(half)])[:, None]
        sign = np.where(np.arange(half) % 2 == 0, 1.0, -1.0)[:, None]
        c, s, signed_c, signed_s = c.astype(F32), s.astype(F32), (sign * c).astype(F32), (sign * s).astype(F32)
        return np.concatenate([u * s + r * signed_c, (u * c - r * signed_s)[::-1]])


def inverse_trig(sine):
    def block(y, _):
        if sine:
            y = y[::-1]
        x = InverseDct(len(y)).three(np.ascontiguousarray(y))
        if sine:
            x = x.copy()
            x[1::2] = -x[1::2]
        return x

    return block


def fwht(x):
    """Along axis 0, whose length is a power of two; scaled."""
    n = len(x)
    if n == 1:
        return x
    h = 1
    while h < n:
        pairs = x.reshape(n // (2 * h), 2, h, -1)
        x = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(x.shape)
        h *= 2
    stages = n.bit_length() - 1
    scale = F32(0.70710678) if stages % 2 else F32(1)
    return x * (scale * F32(0.5 ** (stages // 2)))


def hadamard_block(y, params):
    n = len(y)
    power = n & -n
    odd, choice = n // power, params.get("odd", "auto")
    if odd == 1 or choice == "kronecker" or (choice == "auto" and odd <= 64):
        x = np.concatenate([fwht(part) for part in y.reshape(odd, power, -1)])
        if odd > 1:
            x = ordered_product(odd_matrix(odd, "dct3"), x.reshape(odd, -1))
        return x.reshape(y.shape)
    parts, at = [], 0
    while at < n:
        size = 1 << ((n - at).bit_length() - 1)
        parts.append(fwht(y[at : at + size]))
        at += size
    return np.concatenate(parts)


def inverse_blocks(invert):
    def inverse(params, side, y):
        require(len(side) == 0, "a transform without side information has some")
        along_rows = params.get("axis", "in") == "in"
        y = np.ascontiguousarray(y.T if along_rows else y)
        block = min(int(params.get("block", 0)) or len(y), len(y))
        if y.size:
            y = np.concatenate([invert(y[i : i + block], params) for i in range(0, len(y), block)])
        return np.ascontiguousarray(y.T if along_rows else y)

    return inverse


TRANSFORMS = {
    "identity": lambda params, side, y: y,
    "signs": inverse_signs,
    "rowscale": inverse_rowscale,
    "outliers": inverse_outliers,
    "rownorm": inverse_rownorm,
    "pca": inverse_pca,
    "hadamard": inverse_blocks(hadamard_block),
    "dct": inverse_blocks(inverse_trig(False)),
    "dst": inverse_blocks(inverse_trig(True)),
}
