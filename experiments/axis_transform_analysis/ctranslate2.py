#!/usr/bin/env python3
"""A model file of CTranslate2 (binary version 6) as safetensors: the matrices, with their names.

    ctranslate2.py OUT.safetensors PART...

PART: the file, or its pieces in order. Needs nothing but the standard library.
"""
import json
import struct
import sys
from pathlib import Path

TYPES = {0: ("F32", 4), 1: ("I8", 1), 2: ("I16", 2), 3: ("I32", 4), 4: ("F16", 2), 5: ("BF16", 2)}


def main():
    raw, at = b"".join(Path(p).read_bytes() for p in sys.argv[2:]), 0

    def take(form):
        nonlocal at
        found = struct.unpack_from("<" + form, raw, at)
        at += struct.calcsize("<" + form)
        return found[0] if len(found) == 1 else found

    def text():
        return take(f"{take('H')}s").rstrip(b"\0").decode()

    if len(sys.argv) < 3 or take("I") != 6:
        raise SystemExit("ctranslate2.py: expected OUT.safetensors and a model file of binary version 6")
    text(), take("I")
    tensors = {}
    for _ in range(take("I")):
        name, rank = text(), take("B")
        shape = [take("I") for _ in range(rank)]
        kind, size = TYPES[take("B")], take("I")
        if rank >= 2 and kind[0] in ("F32", "F16", "BF16"):
            tensors[name.replace("/", ".")] = (kind[0], shape, raw[at:at + size])
        at += size
    header, offset = {}, 0
    for name, (kind, shape, data) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    Path(sys.argv[1]).write_bytes(struct.pack("<Q", len(head)) + head + b"".join(t[2] for t in tensors.values()))


if __name__ == "__main__":
    main()
