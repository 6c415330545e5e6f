#!/usr/bin/env python3
"""Second decoder of .occ archives, written from docs/format.md; the standard library and numpy only.

    occ_decode.py ARCHIVE OUT_FOLDER                        every tensor to OUT_FOLDER/<name>.npy ('/' becomes '_')
    occ_decode.py ARCHIVE --compare-with REF.safetensors    compares with a file made by `decompress --dtype f32`

Checks every checksum, decodes every stage, and gives the same floats bit for bit. Side files are checked, not unpacked
(the standard library has no zstd). Exits with 1 on a difference, with 3 on an archive that is corrupt or unknown.
"""

import argparse
import json
import os
import re
import sys

import numpy as np

from occ_decode_entropy import (FormatError, Machine, Plane, decode_bitpack_tile, decode_rans_tiles, get_varint,
                                load_rans, require, tile_rows)

F32 = np.float32
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
          "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "u1"}

# ------------------------------------------------------------------------------------------------------------- xxh64

P1, P2, P3, P4, P5 = (np.uint64(p) for p in (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
                                             0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5))


def rotl(x, r):
    return (x << np.uint64(r)) | (x >> np.uint64(64 - r))


def xxh64_rows(data):
    """data: uint8 [n, size]; the hashes [n] of its rows, seed 0."""
    n, size = data.shape
    at = size // 32 * 32
    if size >= 32:
        words = np.ascontiguousarray(data[:, :at]).view("<u8").reshape(n, -1, 4).swapaxes(0, 1) * P2
        acc = np.zeros((n, 4), np.uint64)
        acc[:, :2] += P2
        acc[:, 0] += P1
        acc[:, 3] -= P1
        for word in words:
            acc += word
            acc = rotl(acc, 31) * P1
        h = sum(rotl(acc[:, i], r) for i, r in enumerate((1, 7, 12, 18)))
        for i in range(4):
            h = (h ^ (rotl(acc[:, i] * P2, 31) * P1)) * P1 + P4
    else:
        h = np.full(n, P5)
    h = h + np.uint64(size)

    def tail(width, kind):
        return np.ascontiguousarray(data[:, at : at + width]).view(kind)[:, 0].astype(np.uint64)

    while at + 8 <= size:
        h = rotl(h ^ (rotl(tail(8, "<u8") * P2, 31) * P1), 27) * P1 + P4
        at += 8
    if at + 4 <= size:
        h = rotl(h ^ (tail(4, "<u4") * P1), 23) * P2 + P3
        at += 4
    while at < size:
        h = rotl(h ^ (tail(1, "u1") * P5), 11) * P1
        at += 1
    h = (h ^ (h >> np.uint64(33))) * P2
    h = (h ^ (h >> np.uint64(29))) * P3
    return h ^ (h >> np.uint64(32))


def xxh64(data):
    return int(xxh64_rows(np.frombuffer(data, np.uint8)[None, :])[0])


def hex16(value):
    return f"{value:016x}"


# ------------------------------------------------------------------------------------------------------------ recipe


class Recipe:
    """terms: a list of (stages, branches); stage: (name, {key: value}); branch: (name, Recipe)."""

    def __init__(self, text):
        self.tokens = re.findall(r"[A-Za-z0-9_.\-]+|[(){}=,;:>+]", text)
        require("".join(self.tokens) == re.sub(r"\s", "", text), "recipe: unknown characters")
        self.at = 0
        self.terms = self.recipe()
        require(self.at == len(self.tokens), "recipe: text after its end")

    def accept(self, token):
        found = self.at < len(self.tokens) and self.tokens[self.at] == token
        self.at += found
        return found

    def word(self):
        require(self.at < len(self.tokens), "recipe: ends too early")
        self.at += 1
        return self.tokens[self.at - 1]

    def expect(self, token):
        require(self.accept(token), f"recipe: expected '{token}'")

    def recipe(self):
        terms = [self.chain()]
        while self.accept("+"):
            terms.append(self.chain())
        return terms

    def chain(self):
        stages, branches = [], []
        while True:
            if self.accept("{"):
                while True:
                    name = self.word()
                    self.expect(":")
                    branches.append((name, self.recipe()))
                    if not self.accept(";"):
                        break
                self.expect("}")
                return stages, branches
            stages.append(self.stage())
            if not self.accept(">"):
                return stages, branches

    def stage(self):
        name, params = self.word(), {}
        if self.accept("("):
            while True:
                key = self.word()
                self.expect("=")
                params[key] = self.word()
                if not self.accept(","):
                    break
            self.expect(")")
        return name, params


# ------------------------------------------------------------------------------------------------------- quantizers


def bf16(data):
    return (np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)).view(F32)


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
        self.alphabet = 1 << int(params.get("bits", 4))
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
            self.offsets = np.full(count, F32(self.alphabet - 1) / F32(2), F32)
        require(len(side) == at and len(self.scales) == count, "uniform: wrong size of side information")

    def decode(self, codes):
        return self.scales[self.index] * (codes.astype(F32) - self.offsets[self.index])


class Lloyd:
    def __init__(self, params, rows, cols, side):
        self.alphabet = 1 << int(params.get("bits", 2))
        count, self.index = scale_index(params, rows, cols)
        require(len(side) == 4 * self.alphabet + 2 * count, "lloyd: wrong size of side information")
        self.levels = np.frombuffer(side[: 4 * self.alphabet], "<f4")
        self.scales = bf16(side[4 * self.alphabet :])

    def decode(self, codes):
        return self.scales[self.index] * self.levels[codes]


TRELLIS_CODES = {4: (0o5, 0o2), 8: (0o13, 0o4), 16: (0o23, 0o4), 32: (0o45, 0o10), 64: (0o103, 0o24),
                 128: (0o235, 0o126), 256: (0o515, 0o362)}


class Trellis:
    alphabet = 65536

    def __init__(self, params, rows, cols, side):
        states = int(params.get("states", 8))
        require(states in TRELLIS_CODES, "trellis: unknown number of states")
        h0, h1 = (h >> 1 for h in TRELLIS_CODES[states])
        s = np.arange(states)[:, None]
        after = (s >> 1) ^ np.where(s & 1, h0, 0) ^ np.where(np.arange(2), h1, 0)
        plane = Plane(rows, cols, self.alphabet, "columns", machine=Machine(after, s[:, 0] & 1, 2))
        self.machine, self.tile_rows = plane.machine, tile_rows(plane)
        require(len(side) == 5 + (cols if side[4] else 0) and side[4] <= 1, "trellis: wrong size of side information")
        base = np.frombuffer(side[:4], "<f4")[0]
        codes = np.frombuffer(side[5:], np.uint8).astype(np.int64) if side[4] else np.full(cols, 128)
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


class Kashin:
    def __init__(self, params, rows, cols, side):
        counts = [1 << int(params.get(name, 2)) for name in "uv"]
        self.basis = params.get("basis", "dct")
        require(len(side) == 4 * sum(counts) + 2 * rows, "kashin: wrong size of side information")
        self.u = np.frombuffer(side[: 4 * counts[0]], "<f4")
        self.v = np.frombuffer(side[4 * counts[0] : 4 * sum(counts)], "<f4")
        self.scales = bf16(side[4 * sum(counts) :])[:, None]
        self.planes = [Plane(rows, cols, count) for count in counts]

    def decode(self, u, v):
        if not u.size:
            return np.zeros(u.shape, F32)
        second = np.ascontiguousarray(self.v[v].T)
        if self.basis == "dct":
            second = InverseDct(len(second)).three(second)
        else:
            power = len(second) & -len(second)
            second = np.concatenate([fwht(second[i : i + power]) for i in range(0, len(second), power)])
        return np.where(self.scales == 0, F32(0), self.scales * (self.u[u] + second.T))


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


QUANTIZERS = {"uniform": Uniform, "lloyd": Lloyd, "trellis": Trellis, "polar": Polar, "kashin": Kashin, "e8": E8}


def decode_symbols(coder, plane, tables, payload):
    name, _ = coder
    model = None
    if name == "rans":
        model, used = load_rans(plane, tables)
        require(used == len(tables), "rans: side information left")
    else:
        require(name == "bitpack", f"coder '{name}' is not supported")
        require(len(tables) == 0, "bitpack: has no side information")
    step, at = get_varint(payload, 0)
    require(step > 0, "no rows per tile")
    require(plane.machine is None or step == tile_rows(plane), "walks of codes restart at other tiles")
    starts = range(0, plane.rows if plane.cols else 0, step)
    sizes, tiles = [], []
    for _ in starts:
        size, at = get_varint(payload, at)
        sizes.append(size)
    for row, size in zip(starts, sizes):
        require(at + size <= len(payload), "payload too short")
        tiles.append((row, min(step, plane.rows - row), payload[at : at + size]))
        at += size
    require(at == len(payload), "payload too long")
    if model is not None:
        parts = decode_rans_tiles(model, tiles)
    else:
        parts = [decode_bitpack_tile(plane, rows, data) for _, rows, data in tiles]
    return np.concatenate(parts) if parts else np.zeros((plane.rows, plane.cols), np.uint16)


# ------------------------------------------------------------------------------------------- transforms (inverses)


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


def inverse_rowscale(_, side, y):
    require(len(side) == 2 * y.shape[0], "rowscale: wrong number of scales")
    scales = bf16(side)[:, None]
    return np.where(scales == 0, F32(0), y * scales)


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
    """cos(pi a / b) in doubles, the operations of docs/format.md."""
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
    "rownorm": inverse_rownorm,
    "pca": inverse_pca,
    "hadamard": inverse_blocks(hadamard_block),
    "dct": inverse_blocks(inverse_trig(False)),
    "dst": inverse_blocks(inverse_trig(True)),
}

# ---------------------------------------------------------------------------------------------------------- archive


def decode_chain(stages, branches, rows, cols, planes):
    name, params = stages[0]
    side = next(planes)
    if name == "split":
        require(len(side) == 0, "split: has no side information")
        head = int(params.get("rows", 0))
        require(head <= rows and [b[0] for b in branches] == ["head", "tail"], "split: does not fit")
        return np.concatenate([decode_recipe(branch[1], count, cols, planes)
                               for branch, count in zip(branches, (head, rows - head))])
    if name == "lowrank":
        rank = min(int(params.get("rank", 16)), rows, cols)
        require(len(side) == 0 and [b[0] for b in branches] == ["left", "right"], "lowrank: does not fit")
        left = decode_recipe(branches[0][1], rows, rank, planes)
        right = decode_recipe(branches[1][1], rank, cols, planes)
        return ordered_product(left, right) if rank else np.zeros((rows, cols), F32)
    if name in TRANSFORMS:
        return TRANSFORMS[name](params, side, decode_chain(stages[1:], branches, rows, cols, planes))
    require(name in QUANTIZERS, f"stage '{name}' is not supported")
    quantizer = QUANTIZERS[name](params, rows, cols, side)
    if name in ("polar", "kashin", "e8"):
        symbol_planes = quantizer.planes
    else:
        symbol_planes = [Plane(rows, cols, quantizer.alphabet)]
    if name == "trellis":
        symbol_planes[0].lines, symbol_planes[0].machine = "columns", quantizer.machine
    codes = []
    for i, plane in enumerate(symbol_planes):
        coder = branches[i][1][0][0][0] if branches else stages[1]
        tables = next(planes)
        codes.append(decode_symbols(coder, plane, tables, next(planes)))
    return quantizer.decode(*codes)


def decode_recipe(terms, rows, cols, planes):
    if len(terms) == 1:
        return decode_chain(*terms[0], rows, cols, planes)
    total = np.zeros((rows, cols), F32)
    for stages, branches in terms:
        total += decode_chain(stages, branches, rows, cols, planes)
    return total


def unpack_blob(blob):
    count, at = get_varint(blob, 0)
    sizes = []
    for _ in range(count):
        size, at = get_varint(blob, at)
        sizes.append(size)
    planes = []
    for size in sizes:
        require(at + size <= len(blob), "blob too short")
        planes.append(blob[at : at + size])
        at += size
    require(len(blob) - at < 64 and not any(blob[at:]), "bad padding of a blob")
    return planes


def matrix_shape(shape):
    if not shape:
        return 1, 1
    cols, d = shape[-1], len(shape) - 1
    while d > 1 and cols < 64:
        d -= 1
        cols *= shape[d]
    rows = 1
    for n in shape[:d]:
        rows *= n
    return rows, cols


class Safetensors:
    def __init__(self, path):
        self.file = open(path, "rb")
        length = int.from_bytes(self.file.read(8), "little")
        require(length <= 100_000_000, "header too long")
        self.header = json.loads(self.file.read(length))
        self.metadata = self.header.pop("__metadata__", {})
        self.start = 8 + length

    def data(self, name):
        begin, end = self.header[name]["data_offsets"]
        self.file.seek(self.start + begin)
        return self.file.read(end - begin)

    def values(self, name):
        """float types as f32, others as they are"""
        info = self.header[name]
        values = np.frombuffer(self.data(name), DTYPES[info["dtype"]]).reshape(info["shape"])
        if info["dtype"] == "BF16":
            return (values.astype(np.uint32) << np.uint32(16)).view(F32)
        return values.astype(F32) if info["dtype"] in ("F64", "F16") else values


def checksum(record, recipe, stored):
    shape = ",".join(str(d) for d in record["shape"])
    head = f"{record['name']}\n{record['dtype']}\n[{shape}]\n{recipe}\n"
    return xxh64((head + f"{record.get('decoded', '0' * 16)}\n{hex16(xxh64(stored))}").encode())


def decoded_hash(matrix):
    rows, cols = matrix.shape
    if rows * cols == 0:
        return xxh64(b"")
    chunk = -(-(1 << 16) // cols)
    data = np.ascontiguousarray(matrix).view(np.uint8)
    whole = rows // chunk
    hashes = []
    if whole:
        hashes.append(xxh64_rows(data[: whole * chunk].reshape(whole, -1)))
    if rows % chunk:
        hashes.append(xxh64_rows(data[whole * chunk :].reshape(1, -1)))
    return xxh64(np.concatenate(hashes).astype("<u8").tobytes())


def decode_archive(path):
    """Yields (name, values) of every tensor."""
    file = Safetensors(path)
    require("occ" in file.metadata and "occ_check" in file.metadata, "no archive: the keys occ and occ_check are missing")
    require(hex16(xxh64(file.metadata["occ"].encode())) == file.metadata["occ_check"], "the archive index is corrupt")
    index = json.loads(file.metadata["occ"])
    require(index["version"] == 0, f"unknown format version {index['version']}")
    names = [t["name"] for t in index["tensors"]] + ["occ/" + f["name"] for f in index["files"]]
    require(sorted(names) == sorted(file.header), "tensors differ from the index")
    for f in index["files"]:
        require(hex16(xxh64(file.data("occ/" + f["name"]))) == f["xxh64"], f"file '{f['name']}': wrong checksum")
    for record in index["tensors"]:
        try:
            recipe = index["recipes"][record["recipe"]] if "recipe" in record else ""
            stored = file.data(record["name"])
            require(hex16(checksum(record, recipe, stored)) == record["xxh64"], "wrong checksum")
            if not recipe:
                yield record["name"], file.values(record["name"])
                continue
            planes = iter(unpack_blob(stored))
            matrix = decode_recipe(Recipe(recipe).terms, *matrix_shape(record["shape"]), planes)
            require(next(planes, None) is None, "more planes than its recipe has")
            require(hex16(decoded_hash(matrix)) == record["decoded"], "decodes to other values than the encoder's")
            yield record["name"], matrix.reshape(record["shape"])
        except (FormatError, StopIteration) as error:
            raise FormatError(f"tensor '{record['name']}': {error or 'planes are missing'}") from error


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive")
    parser.add_argument("out_folder", nargs="?")
    parser.add_argument("--compare-with", metavar="REF.safetensors")
    args = parser.parse_args()
    if args.out_folder is None and args.compare_with is None:
        parser.error("expected an output folder or --compare-with")
    if args.out_folder is not None:
        os.makedirs(args.out_folder, exist_ok=True)
    reference = Safetensors(args.compare_with) if args.compare_with else None
    different = tensors = 0
    for name, values in decode_archive(args.archive):
        tensors += 1
        if args.out_folder is not None:
            np.save(os.path.join(args.out_folder, name.replace("/", "_") + ".npy"), values)
        if reference is not None and not (name in reference.header and same(values, reference.values(name))):
            print(f"tensor '{name}': differs from the reference")
            different += 1
    print(f"{tensors} tensors decoded" + (f", {different} of them differ" if reference is not None else ""))
    return 1 if different else 0


if __name__ == "__main__":
    np.seterr(over="ignore")  # xxh64 counts modulo 2^64
    try:
        sys.exit(main())
    except (FormatError, KeyError, OSError, ValueError) as e:
        print(f"error: {sys.argv[1]}: {e}", file=sys.stderr)
        sys.exit(3)
