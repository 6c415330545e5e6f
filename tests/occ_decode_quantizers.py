"""Second decoder of the quantizers, written from docs/reference/format.md; numpy only.

    quantizer = QUANTIZERS[name](params, rows, cols, side)     # quantizer.planes: what the coders need to know
    y = quantizer.decode(*codes)                               # one array of symbols a plane; f32 [rows, cols]
"""

import numpy as np

from occ_decode_entropy import Machine, Plane, tile_rows
from occ_decode_range import RangeDecoder, get_integers, require
from occ_decode_transforms import F32, InverseDct, bf16, fwht, ordered_product, random_words


def scale_index(params, rows, cols):
    """(number of scales, index of the scale of every element: an array that broadcasts to [rows, cols])."""
    group, per = int(params.get("group", 0)), params.get("per", "row")
    r, c = np.arange(rows)[:, None], np.arange(cols)[None, :]
    if group > 0:
        per_row = -(-cols // group)
        return rows * per_row, r * per_row + c // group
    if per == "row":
        return rows, r
    return (cols, c) if per == "column" else (1, np.zeros((1, 1), np.int64))


class Uniform:
    def __init__(self, params, rows, cols, side):
        alphabet = 1 << int(params.get("bits", 4))
        self.planes = [Plane(rows, cols, alphabet)]
        count, self.index = scale_index(params, rows, cols)
        self.scales = bf16(side[: 2 * count])
        at = 2 * count
        if params.get("zero", "symmetric") == "asymmetric":
            require(len(side) > at and side[at] <= 1, "uniform: bad width of zero points")
            kind = np.dtype("<i2" if side[at] else "u1")
            self.offsets = np.frombuffer(side[at + 1 : at + 1 + count * kind.itemsize], kind).astype(F32)
            at += 1 + count * kind.itemsize
            require(len(self.offsets) == count, "uniform: zero points missing")
        else:
            self.offsets = np.full(count, F32(alphabet - 1) / F32(2), F32)
        require(len(side) == at and len(self.scales) == count, "uniform: wrong size of side information")

    def decode(self, codes):
        return self.scales[self.index] * (codes.astype(F32) - self.offsets[self.index])


class Lloyd:
    def __init__(self, params, rows, cols, side):
        alphabet = 1 << int(params.get("bits", 2))
        self.planes = [Plane(rows, cols, alphabet)]
        count, self.index = scale_index(params, rows, cols)
        require(len(side) == 4 * alphabet + 2 * count, "lloyd: wrong size of side information")
        self.levels = np.frombuffer(side[: 4 * alphabet], "<f4")
        self.scales = bf16(side[4 * alphabet :])

    def decode(self, codes):
        return self.scales[self.index] * self.levels[codes]


TRELLIS_CODES = {4: (0o5, 0o2), 8: (0o13, 0o4), 16: (0o23, 0o4), 32: (0o45, 0o10), 64: (0o103, 0o24),
                 128: (0o235, 0o126), 256: (0o515, 0o362)}


class Trellis:
    def __init__(self, params, rows, cols, side):
        states = int(params.get("states", 8))
        require(states in TRELLIS_CODES, "trellis: unknown number of states")
        h0, h1 = (h >> 1 for h in TRELLIS_CODES[states])
        s = np.arange(states)[:, None]
        after = (s >> 1) ^ np.where(s & 1, h0, 0) ^ np.where(np.arange(2), h1, 0)
        plane = Plane(rows, cols, 65536, "columns", machine=Machine(after, s[:, 0] & 1, 2))
        self.planes, self.machine, self.tile_rows = [plane], plane.machine, tile_rows(plane)
        base = np.frombuffer(side[:4], "<f4")[0]
        codes = np.full(cols, 128)
        require(side[4] <= 2, "trellis: unknown form of column steps")
        if side[4] == 2:
            coded = RangeDecoder(bytes(side[6:]))
            codes = 128 + side[5] * np.array(get_integers(coded, cols), np.int64)
            coded.finish()
            require(side[5] >= 1 and (codes >= 0).all() and (codes <= 255).all(), "trellis: bad step of a column")
        else:
            require(len(side) == 5 + (cols if side[4] else 0), "trellis: wrong size of side information")
            codes = np.frombuffer(side[5:], np.uint8).astype(np.int64) if side[4] else codes
        require(0 <= base <= 2.0**110, "trellis: bad step")
        fractions = np.exp2(np.arange(16) / 16).astype(F32)
        self.factors = np.ldexp(base * fractions[codes % 16], codes // 16 - 8).astype(F32)
        require((self.factors <= 2.0**110).all(), "trellis: bad step of a column")

    def decode(self, codes):
        out = np.empty(codes.shape, F32)
        for row in range(codes.shape[0]):
            if row % self.tile_rows == 0:
                state = np.zeros(codes.shape[1], np.int64)
            symbol = codes[row].astype(np.int64)
            out[row] = (2 * (symbol - 32768) + (state & 1)).astype(F32) * self.factors
            state = self.machine.next[state, symbol & 1]
        return out


def in_e8(v):
    """v [n, 8]: doubled coordinates."""
    return ((v & 1) == (v[:, :1] & 1)).all(axis=1) & (v.sum(axis=1) % 4 == 0)


def e8_directions():
    parts = []
    for parity in (0, 1):
        v = np.zeros((1, 0), np.int64)
        for _ in range(8):
            x = np.arange(-8 + parity, 9, 2)
            v = np.concatenate([np.repeat(v, len(x), axis=0), np.tile(x, len(v))[:, None]], axis=1)
            v = v[(v * v).sum(axis=1) <= 64]
        parts.append(v)
    v = np.concatenate(parts)
    v = v[in_e8(v) & (v != 0).any(axis=1)]
    v = v[~((v % 2 == 0).all(axis=1) & in_e8(v // 2))]
    return v[np.lexsort([v[:, i] for i in range(7, -1, -1)] + [(v * v).sum(axis=1)])]


def greedy_directions(bits):
    v = e8_directions()
    norm = (v * v).sum(axis=1) // 8
    key = np.full(len(v), -(10**6), np.int64)
    chosen = []
    for _ in range(1 << bits):
        chosen.append(int(np.argmin(key * (840 // norm))))
        dot = (v @ v[chosen[-1]]) // 4
        key = np.maximum(key, dot * np.abs(dot) * (840 // norm[chosen[-1]]))
    return v[chosen]


def binomial_vectors(count, dim, seed):
    bits = np.unpackbits(random_words(seed, 8 * count * dim).astype("<u8").view(np.uint8).reshape(-1, 64), axis=1)
    v = bits.sum(axis=1, dtype=np.int64).reshape(count, dim) - 256
    v[(v == 0).all(axis=1), 0] = 1
    return v


def kmeans_directions(dim, bits):
    count = 1 << bits
    x = binomial_vectors(max(16 * count, 1 << 14), dim, 2)

    def scaled(sums, old):
        squares = (sums * sums).sum(axis=1)
        n = np.sqrt(squares.astype(np.float64)).astype(np.int64)
        n -= n * n > squares
        n += (n + 1) * (n + 1) <= squares
        return np.where(n[:, None] > 0, (32768 * sums + n[:, None]) // np.maximum(2 * n, 1)[:, None], old)

    centers = scaled(x[:count], np.zeros((count, dim), np.int64))
    for _ in range(8):
        near = np.concatenate([np.argmax(part @ centers.T, axis=1) for part in np.array_split(x, len(x) // 4096)])
        sums = np.zeros((count, dim), np.int64)
        np.add.at(sums, near, x)
        centers = scaled(sums, centers)
    return centers


class Polar:
    def __init__(self, params, rows, cols, side):
        magnitude, direction = int(params.get("magnitude", 2)), int(params.get("direction", 14))
        self.dim, book = int(params.get("dim", 8)), params.get("codebook", "e8-greedy")
        self.cols = cols
        levels = 1 << magnitude
        require(len(side) == 4 * levels + 2 * rows, "polar: wrong size of side information")
        self.levels = np.frombuffer(side[: 4 * levels], "<f4")
        self.scales = bf16(side[4 * levels :])
        require(book != "e8-greedy" or self.dim == 8, "polar: no such codebook")
        points = (greedy_directions(direction) if book == "e8-greedy" else
                  kmeans_directions(self.dim, direction) if book == "kmeans" else
                  binomial_vectors(1 << direction, self.dim, 1))
        inverse = 1 / np.sqrt((points * points).sum(axis=1).astype(np.float64))
        self.units = (points * inverse[:, None]).astype(F32)
        groups = -(-cols // self.dim)
        self.planes = [Plane(rows, groups, 1 << direction), Plane(rows, groups, levels)]

    def decode(self, directions, magnitudes):
        factors = self.scales[:, None] * self.levels[magnitudes]
        values = factors[:, :, None] * self.units[directions]
        return np.ascontiguousarray(values.reshape(len(values), -1)[:, : self.cols])


def seeded_orthogonal(n, seed):
    words = random_words(seed, 8 * n * n).astype("<u8").reshape(n, n, 8)
    bits = np.unpackbits(words.view(np.uint8).reshape(n * n, 64), axis=1)
    q = bits.sum(axis=1, dtype=np.int64).reshape(n, n) - 256 + (words[:, :, 0] >> np.uint64(11)).astype(np.float64) * 2.0**-53
    for r in range(n):
        v = q[r]
        for _ in range(2):
            for k in range(r):
                v = v - np.cumsum(v * q[k])[-1] * q[k]
            v = v / np.sqrt(np.cumsum(v * v)[-1])
        q[r] = v
    return q.astype(F32)


class Kashin:
    def __init__(self, params, rows, cols, side):
        counts = [1 << int(params.get(name, 2)) for name in "uv"]
        self.basis, self.seed = params.get("basis", "dct"), int(params.get("seed", 0))
        self.block = int(params.get("block", 0)) or max(cols, 1)
        joint = params.get("clusters", "separate") == "joint"
        sizes = [counts[0] * counts[1]] * 2 if joint else counts
        require(len(side) == 4 * sum(sizes) + 2 * rows, "kashin: wrong size of side information")
        u = np.frombuffer(side[: 4 * sizes[0]], "<f4")
        v = np.frombuffer(side[4 * sizes[0] : 4 * sum(sizes)], "<f4")
        self.u, self.v = (u, v) if joint else (np.repeat(u, counts[1]), np.tile(v, counts[0]))
        self.scales = bf16(side[4 * sum(sizes) :])[:, None]
        self.planes = [Plane(rows, cols, count) for count in counts]

    def second(self, v):
        n = len(v)
        if self.basis == "dct":
            return InverseDct(n).three(v)
        if self.basis == "orthogonal":
            return ordered_product(seeded_orthogonal(n, self.seed), v)
        power = n & -n
        return np.concatenate([fwht(v[i : i + power]) for i in range(0, n, power)])

    def decode(self, u, v):
        if not u.size:
            return np.zeros(u.shape, F32)
        codes = u.astype(np.int64) * self.planes[1].alphabet + v
        second = np.ascontiguousarray(self.v[codes].T)
        second = np.concatenate([self.second(second[i : i + self.block]) for i in range(0, len(second), self.block)])
        return np.where(self.scales == 0, F32(0), self.scales * (self.u[codes] + second.T))


class E8:
    def __init__(self, params, rows, cols, side):
        require(len(side) == 4, "e8: wrong size of side information")
        self.step, self.cols = np.frombuffer(side, "<f4")[0], cols
        require(0 <= self.step <= 2.0**110, "e8: bad step")
        after, context = [[1, 3]], [0]
        for p in range(8):
            for c in range(2):
                for q in range(2):
                    context.append(3 + 2 * c + q if p == 7 else 1 + c)
                    after.append([0 if p == 7 else 5 + 4 * p + 2 * c + (q ^ bit) for bit in range(2)])
        machine = Machine(np.array(after), np.array(context), 7)
        self.planes = [Plane(rows, 9 * -(-cols // 8), 65536, machine=machine)]

    def decode(self, codes):
        s = codes.astype(np.int64).reshape(len(codes), -1, 9)
        k = s[:, :, 1:] - 32768
        k[:, :, 7] = 2 * k[:, :, 7] + k[:, :, :7].sum(axis=2) % 2
        points = k.astype(F32) + F32(0.5) * (s[:, :, :1] % 2).astype(F32)
        return np.ascontiguousarray((points * self.step).reshape(len(codes), -1)[:, : self.cols])


class Bytes:
    """Side information, read from front to back."""

    def __init__(self, side):
        self.side, self.at = side, 0

    def take(self, count):
        require(self.at + count <= len(self.side), "side information is too short")
        self.at += count
        return self.side[self.at - count : self.at]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def array(self, kind, count):
        kind = np.dtype(kind)
        return np.frombuffer(self.take(count * kind.itemsize), kind)


class ProductCodebook:
    """Centroids of subspaces of neighbouring columns."""

    def __init__(self, params, cols, side):
        self.width, self.k = side.varint(), side.varint()
        require(1 <= self.width <= max(cols, 1) and 1 <= self.k <= 65536, "bad sizes of codebooks")
        widths = [min(self.width, cols - c) for c in range(0, cols, self.width)]
        self.subspaces, count = len(widths), cols * self.k
        subspace = np.repeat(np.arange(self.subspaces), [w * self.k for w in widths])
        if params.get("codebook", "f16") == "f16":
            scale = side.array("<f4", 1)[0]
            values = side.array("<f2", count).astype(F32) * scale
        else:
            bits = int(params.get("codebook_bits", 8))
            by_column = params.get("codebook_scale", "centroid") == "column"
            if by_column:
                middles, scales = side.array("<f4", cols), side.array("<f4", cols)
            else:
                scales = bf16(side.take(2 * self.subspaces * self.k))
            packed = np.frombuffer(side.take((count * bits + 7) // 8), np.uint8)
            codes = np.unpackbits(packed, bitorder="little")[: count * bits].reshape(count, bits)
            codes = (codes.astype(np.int64) << np.arange(bits)).sum(axis=1)
            levels = codes.astype(F32) - F32((1 << bits) - 1) / F32(2)
            if by_column:
                column = [np.tile(np.arange(s * self.width, s * self.width + w), self.k) for s, w in enumerate(widths)]
                column = np.concatenate(column) if column else np.zeros(0, int)
                values = middles[column] + scales[column] * levels
            else:
                values = scales[np.concatenate([np.repeat(np.arange(s * self.k, (s + 1) * self.k), w)
                                                for s, w in enumerate(widths)] or [np.zeros(0, int)])] * levels
        require(np.isfinite(values).all(), "centroids are not finite")
        self.centroids = [values[subspace == s].reshape(self.k, w) for s, w in enumerate(widths)]

    def decode(self, codes):
        parts = [c[codes[:, s]] for s, c in enumerate(self.centroids)]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(codes), 0), F32)


class Pq:
    def __init__(self, params, rows, cols, side):
        side = Bytes(side)
        self.codebook = ProductCodebook(params, cols, side)
        require(side.at == len(side.side), "pq: wrong size of side information")
        self.planes = [Plane(rows, self.codebook.subspaces, self.codebook.k)]

    def decode(self, codes):
        return self.codebook.decode(codes)


class Opq:
    def __init__(self, params, rows, cols, side):
        side = Bytes(side)
        clusters, self.block = side.varint(), side.varint()
        self.coarse = ProductCodebook({}, cols, side) if clusters > 1 else None
        self.rotations, self.codebooks = [], []
        for _ in range(clusters):
            blocks = []
            for at in range(0, cols, self.block) if self.block > 1 else []:
                n = min(self.block, cols - at)
                if n > 1:
                    blocks.append((at, side.array("<f2", n * n).reshape(n, n).astype(F32)))
            self.rotations.append(blocks)
            self.codebooks.append(ProductCodebook(params, cols, side))
        require(side.at == len(side.side), "opq: wrong size of side information")
        self.planes = [Plane(rows, min(cols, 1), clusters), Plane(rows, self.codebooks[0].subspaces, self.codebooks[0].k)]

    def decode(self, clusters, codes):
        out = np.zeros((len(codes), sum(c.shape[1] for c in self.codebooks[0].centroids)), F32)
        most = np.finfo(F32).max
        with np.errstate(over="ignore", invalid="ignore"):
            for j, codebook in enumerate(self.codebooks):
                rows = clusters[:, 0] == j if clusters.size else np.zeros(len(codes), bool)
                y = codebook.decode(codes[rows])
                for at, basis in self.rotations[j]:
                    n = len(basis)
                    y[:, at : at + n] = ordered_product(basis, np.ascontiguousarray(y[:, at : at + n].T)).T
                if self.coarse is not None:
                    y = y + self.coarse.centroids[0][j]
                out[rows] = np.where(y >= -most, np.minimum(y, most), -most)
        return out


class Qet:
    def __init__(self, params, rows, cols, side):
        side = Bytes(side)
        self.levels, self.groups = int(params.get("levels", 2)), params.get("layout", "parts") == "groups"
        self.whole = cols >> self.levels << self.levels
        self.codebook = ProductCodebook(params, cols, side)
        require(side.at == len(side.side), "qet: wrong size of side information")
        self.planes = [Plane(rows, self.codebook.subspaces, self.codebook.k), Plane(rows, self.levels * self.whole // 2, 2)]

    def decode(self, codes, order):
        x = self.codebook.decode(codes)
        tail, x = x[:, self.whole :], x[:, : self.whole]
        if self.groups:
            x = x.reshape(len(x), -1, 1 << self.levels).transpose(0, 2, 1).reshape(len(x), -1)
        half = self.whole // 2
        for level in range(self.levels - 1, -1, -1):
            low, high = x.reshape(len(x), 1 << level, 2, self.whole >> level >> 1).transpose(2, 0, 1, 3)
            left = order[:, level * half : (level + 1) * half].reshape(low.shape) == 1
            x = np.stack([np.where(left, low, high), np.where(left, high, low)], axis=3).reshape(len(x), -1)
        return np.ascontiguousarray(np.concatenate([x, tail], axis=1))


# type: (bits, columns of a sub-block, of a super-block, offsets, least and greatest integer, code of level 0)
GGML = {"Q4_0": (4, 32, 32, False, 0, 0, 8), "Q4_1": (4, 32, 32, True, 0, 0, 0), "Q5_0": (5, 32, 32, False, 0, 0, 16),
        "Q5_1": (5, 32, 32, True, 0, 0, 0), "Q8_0": (8, 32, 32, False, 0, 0, 128), "IQ4_NL": (4, 32, 32, False, 0, 0, 0),
        "Q2_K": (2, 16, 256, True, 0, 15, 0), "Q3_K": (3, 16, 256, False, -32, 31, 4), "Q4_K": (4, 32, 256, True, 0, 63, 0),
        "Q5_K": (5, 32, 256, True, 0, 63, 0), "Q6_K": (6, 16, 256, False, -128, 127, 32)}
IQ4_LEVELS = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], F32)


class Ggml:
    def __init__(self, params, rows, cols, side):
        kind = params.get("type", "Q4_0")
        require(kind in GGML, "ggml: unknown type")
        bits, sub, whole, offsets, least, most, zero = GGML[kind]
        group = int(params.get("group", 0))
        require(group in (0, whole) or most == 0, "ggml: a group with integers")
        if group and most == 0:
            sub = whole = group
        self.planes = [Plane(rows, cols, 1 << bits)]
        self.levels = IQ4_LEVELS if kind == "IQ4_NL" else np.arange(1 << bits).astype(F32) - F32(zero)
        subs, wholes = -(-cols // sub), -(-cols // whole)
        at = 0

        def take(count, dtype):
            nonlocal at
            values = np.frombuffer(side[at : at + count * np.dtype(dtype).itemsize], dtype)
            require(len(values) == count, "ggml: side information is too short")
            at += count * np.dtype(dtype).itemsize
            return values.reshape(rows, -1).astype(F32)

        halves = [take(rows * wholes, "<f2") for _ in range(1 + offsets)]
        require(all(np.isfinite(h).all() for h in halves), "ggml: a scale is not finite")
        numbers = [np.repeat(h, whole // sub, axis=1)[:, :subs] for h in halves]
        if most:
            for i in range(len(numbers)):
                integers = take(rows * subs, "i1")
                require((integers >= least).all() and (integers <= most).all(), "ggml: an integer is out of range")
                numbers[i] = numbers[i] * integers
        elif offsets:
            numbers[1] = -numbers[1]
        require(at == len(side), "ggml: wrong size of side information")
        self.numbers = [np.repeat(x, sub, axis=1)[:, :cols] for x in numbers]

    def decode(self, codes):
        y = self.numbers[0] * self.levels[codes]
        return y - self.numbers[1] if len(self.numbers) == 2 else y


QUANTIZERS = {"uniform": Uniform, "lloyd": Lloyd, "trellis": Trellis, "polar": Polar, "kashin": Kashin, "e8": E8,
              "pq": Pq, "opq": Opq, "qet": Qet, "ggml": Ggml}
