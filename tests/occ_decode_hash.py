"""xxh64 (seed 0) in numpy, part of the second decoder of .occ archives."""

import numpy as np


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
