"""Bit strings and range-coded integers of .occ archives, and frequencies coded with either, written from
docs/reference/format.md, section 8."""

import numpy as np

ONE = 4096
WINDOW = 256
ESCAPE = 256


class FormatError(Exception):
    pass


def require(condition, message):
    if not condition:
        raise FormatError(message)


class Bits:
    """Bit string, lowest bit first."""

    def __init__(self, data):
        self.value = int.from_bytes(data, "little")
        self.left = 8 * len(data)
        self.used = 0

    def get(self, width):
        require(width <= self.left - self.used, "bit string too short")
        value = (self.value >> self.used) & ((1 << width) - 1)
        self.used += width
        return value

    def bytes_used(self):
        return (self.used + 7) // 8


class RangeDecoder:
    """Probabilities are lists [probability of 0, number of decisions seen]."""

    def __init__(self, data):
        self.data, self.at, self.range = data, 4, 0xFFFFFFFF
        self.code = int.from_bytes((data + bytes(4))[:4], "big")

    def decide(self, zero):
        bound = (self.range >> 16) * zero
        bit = self.code >= bound
        if bit:
            self.code -= bound
            self.range -= bound
        else:
            self.range = bound
        while self.range < 1 << 24:
            byte = self.data[self.at] if self.at < len(self.data) else 0
            self.at += 1
            self.code = ((self.code << 8) | byte) & 0xFFFFFFFF
            self.range <<= 8
        return int(bit)

    def get(self, models, key):
        model = models.setdefault(key, [32768, 0])
        bit = self.decide(model[0])
        shift = min((model[1] + 1).bit_length(), 7)
        model[1] += 1
        model[0] += -(model[0] >> shift) if bit else (65536 - model[0]) >> shift
        return bit

    def raw(self, width):
        value = 0
        for _ in range(width):
            value = 2 * value + self.decide(32768)
        return value

    def finish(self):
        require(self.at == len(self.data) and self.code == 0, "range-coded integers do not end with their bytes")


def get_tree(coded, models, width):
    node = 1
    for _ in range(width):
        node = 2 * node + coded.get(models, node)
    return node - (1 << width)


def get_integers(coded, count):
    rate, total, models = coded.raw(3), 0, {}
    total = 256 * (coded.raw(16) - 32768)
    out = []
    for _ in range(count):
        length = 0
        while length < 17 and coded.get(models, length):
            length += 1
        e = 0
        if length:
            negative = coded.get(models, "sign")
            e, node = 1, 1
            for _ in range(min(length - 1, 2)):
                bit = coded.get(models, (length, node))
                e, node = 2 * e + bit, 2 * node + bit
            left = max(length - 3, 0)
            e = (e << left) + coded.raw(left)
            e = -e if negative else e
        value = ((total + 128) >> 8) + e
        require(-32768 <= value <= 32767, "integer out of range")
        out.append(value)
        if rate:
            total += (256 * value - total) >> rate
    return out


def coded_table(coded, models, window, mirror, above):
    f = [0] * window

    def one(i, left, zeros):
        if zeros >= 2:
            context = "beyond"
        elif above is None:
            context = ("first", left)
        else:
            up = int(above[i]).bit_length()
            context = ("later", up > 0, (up + left + 1) // 2)
        length = 0
        while length < 13 and coded.get(models, (context, length)):
            length += 1
        f[i] = length
        if length > 1:
            second = coded.get(models, ("second", length))
            f[i] = ((2 + second) << (length - 2)) + coded.raw(length - 2)
        return f[i].bit_length(), (zeros + 1 if f[i] == 0 else 0)

    middle = min(mirror // 2, window)
    left, zeros = 13, 0
    for i in range(middle, window):
        left, zeros = one(i, left, zeros)
    left, zeros = f[middle].bit_length() if middle < window else 13, 0
    for i in range(middle - 1, -1, -1):
        image = mirror - 1 - i
        if image < window and coded.get(models, ("image", f[image] == 0)):
            f[i] = f[image]
        else:
            left, zeros = one(i, left, zeros)
    require(sum(f) <= ONE, "table sum above 4096")
    return np.array(f + [0] * (WINDOW - window) + [ONE - sum(f)], np.int64)


def read_frequencies(bits, window):
    f = []
    while len(f) < window:
        c = bits.get(4)
        if c == 0:
            f.append(0)
        elif c <= 13:
            f.append((1 << (c - 1)) + bits.get(c - 1))
        else:
            zeros = 2 + bits.get(4) if c == 14 else 18 + bits.get(8)
            require(len(f) + zeros <= window, "too many zeros in a table")
            f += [0] * zeros
    require(sum(f) <= ONE, "table sum above 4096")
    return np.array(f + [0] * (WINDOW - window) + [ONE - sum(f)], np.int64)
