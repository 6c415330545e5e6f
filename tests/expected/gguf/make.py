#!/usr/bin/env python3
"""Files and values of the gguf package (0.19.0) for gguf_test.cc and gguf_blocks_test.cc. Needs gguf, numpy and xxhash.

little.gguf has some tensors; big.gguf (big-endian), v1.gguf (version 1: sizes of 32 bits) and part-*.gguf (split) have
the same ones. blocks.json has, for every block type, the xxh64 of the f32 values of blocks of pseudo-random bytes."""
import json
import os
import struct

import gguf
import numpy as np
import xxhash
from gguf import GGMLQuantizationType as Q
from gguf import quants

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(1)
TYPES = {"plain": Q.F32, "half": Q.F16, "coded": Q.Q8_0, "k": Q.Q4_K}
PLAIN = {"plain": rng.normal(size=(3, 5)).astype(np.float32), "half": rng.normal(size=(7,)).astype(np.float16)}
CODED = {"coded": quants.quantize(rng.normal(size=(2, 64)).astype(np.float32), Q.Q8_0),
         "k": rng.integers(0, 60, (1, 144)).astype(np.uint8)}
KEYS = [("general.name", "é", 8), ("tokenizer.ggml.tokens", ["a", "bc"], 9), ("x.u64", 2**40 + 3, 10), ("x.f", -1.5, 6)]


def write(name, big=False, split=0):
    w = gguf.GGUFWriter(os.path.join(HERE, name), "test", split_max_tensors=split,
                        endianess=gguf.GGUFEndian.BIG if big else gguf.GGUFEndian.LITTLE)
    w.add_string("general.name", "é")
    w.add_array("tokenizer.ggml.tokens", ["a", "bc"])
    w.add_uint64("x.u64", 2**40 + 3)
    w.add_float32("x.f", -1.5)
    for n, t in PLAIN.items():
        w.add_tensor(n, t.copy())
    for n, t in CODED.items():
        t = t.copy()
        if big:  # what gguf_convert_endian.py does: fields of two bytes
            block, fields = {"coded": (34, (0,)), "k": (144, (0, 2))}[n]
            b = t.reshape(-1, block)
            for f in fields:
                b[:, [f, f + 1]] = b[:, [f + 1, f]]
        w.add_tensor(n, t, raw_dtype=TYPES[n])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def write_v1(name):
    def s(x):
        return struct.pack("<I", len(x.encode())) + x.encode()

    head = b"GGUF" + struct.pack("<III", 1, 4, 5) + s("general.architecture") + struct.pack("<I", 8) + s("test")
    for key, value, kind in KEYS:
        head += s(key) + struct.pack("<I", kind)
        head += {8: lambda v: s(v), 9: lambda v: struct.pack("<II", 8, len(v)) + b"".join(s(x) for x in v),
                 10: lambda v: struct.pack("<Q", v), 6: lambda v: struct.pack("<f", v)}[kind](value)
    data = b""
    for n, t in {**PLAIN, **CODED}.items():
        dims = list(t.shape[::-1])
        if n in CODED:
            dims[0] = {"coded": 64, "k": 256}[n]
        head += s(n) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<I", d) for d in dims)
        head += struct.pack("<IQ", TYPES[n].value, len(data))
        data += t.tobytes() + b"\0" * (-t.nbytes % 32)
    with open(os.path.join(HERE, name), "wb") as f:
        f.write(head + b"\0" * (-len(head) % 32) + data)


def pseudo_random(count):
    x, out = 12345, bytearray()
    for _ in range(count):
        x = (x * 1664525 + 1013904223) % 2**32
        out.append(x >> 24)
    return np.frombuffer(bytes(out), np.uint8).copy()


def blocks():
    out = {}
    # Where the high byte of an f16 stands, which is kept finite: & 0x83 | 0x28.
    halves = {Q.IQ2_XXS: 1, Q.IQ2_XS: 1, Q.IQ2_S: 1, Q.IQ3_XXS: 1, Q.IQ3_S: 1, Q.IQ1_S: 1, Q.TQ1_0: 53, Q.TQ2_0: 65,
              Q.IQ1_M: 55, Q.MXFP4: None, Q.NVFP4: None}
    for t, at in halves.items():
        size = gguf.GGML_QUANT_SIZES[t][1]
        b = pseudo_random(200 * size).reshape(200, size)
        if at is not None:
            b[:, at] = (b[:, at] & 0x83) | 0x28
        out[t.name] = xxhash.xxh64_hexdigest(quants.dequantize(b, t).astype(np.float32).tobytes())
    with open(os.path.join(HERE, "blocks.json"), "w") as f:
        json.dump(out, f, indent=1)


write("little.gguf")
write("big.gguf", big=True)
write("part.gguf", split=2)
write_v1("v1.gguf")
blocks()
