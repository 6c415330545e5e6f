"""Damage. mutant(format, data, rng) gives a changed file; the same random numbers give the same bytes."""
import io
import json
import re
import struct
import warnings
import zipfile

from formats import Archive, npy, read_safetensors, write_safetensors

NUMBERS = [0, 1, 2, 3, 7, 8, 63, 64, 65, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**46, 2**62, 2**63,
           2**64 - 1]
VALUES = [b"null", b"true", b"false", b"0", b"-1", b"1.5", b"1e30", b"1e999", b'""', b'"x"', b"[]", b"{}", b"[1]",
          b'"\xff"', b'"\\ud800"', b'"\\u0000"', b'{"type":"ByteLevel"}', b'"llama"', b'"F16"', b"[" * 100]
SCALAR = re.compile(rb'-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|"(?:[^"\\]|\\.)*"|true|false|null')
RECIPES = ["uniform > rans", "signs > hadamard > uniform > rans", "polar > rans", "lloyd > bitpack", "uniform > bitpack",
           "trellis(states=8) > rans", "lowrank(rank=2) > {left: uniform > rans; right: uniform > rans}",
           "split(rows=3) > {head: uniform > rans; tail: uniform > rans}", "polar(direction=16, codebook=e8-greedy, dim=8)"]


def change_number(text, rng):
    try:
        n = int(text)
    except ValueError:
        n = 1
    other = rng.choice(NUMBERS)
    return str(rng.choice([n + 1, n - 1, 2 * n, n // 2, -n, other, other, other])).encode()


def change_bytes(data, rng, hot=None):
    """A few changes of bytes, most of them among the first `hot`."""
    data = bytearray(data)
    for _ in range(1 if rng.random() < .7 else rng.randrange(2, 8)):
        if not data:
            break
        at = rng.randrange(min(hot or len(data), len(data)) if rng.random() < .6 else len(data))
        kind = rng.randrange(9)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.choice([0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)])
        elif kind == 2:
            data[at:at + 4] = struct.pack("<I", rng.choice(NUMBERS) & 0xffffffff)
        elif kind == 3:
            data[at:at + 8] = struct.pack("<Q", rng.choice(NUMBERS))
        elif kind == 4:
            del data[at:at + rng.choice([1, 2, 4, 8, rng.randrange(1, 200)])]
        elif kind == 5:
            data[at:at] = data[at:at + rng.choice([1, 4, 8, rng.randrange(1, 200)])]
        elif kind == 6:
            end = rng.randrange(len(data))
            data[at:at + 32] = data[end:end + 32]
        elif kind == 7:
            data[at:at + rng.randrange(1, 64)] = b""
        else:
            del data[rng.choice([at, len(data) - 1]):]
    return bytes(data)


def change_json(text, rng):
    """Changes numbers, other values, members or bytes of JSON."""
    for _ in range(1 if rng.random() < .7 else rng.randrange(2, 5)):
        found = list(SCALAR.finditer(text))
        if not found or rng.random() < .05:
            text = change_bytes(text, rng)
            continue
        m = rng.choice(found)
        kind = rng.randrange(6)
        if kind < 3:
            numbers = [s for s in found if s.group()[:1] in b"-0123456789"]
            m = rng.choice(numbers or found)
            new = change_number(m.group(), rng)
        elif kind == 3:
            new = rng.choice(VALUES)
        elif kind == 4:
            new = rng.choice(found).group()
        else:  # a member disappears or comes twice
            end = text.find(b",", m.end()) + 1 or m.end()
            piece = text[m.start():end]
            text = text[:m.start()] + (b"" if rng.random() < .7 else piece + piece) + text[end:]
            continue
        text = text[:m.start()] + new + text[m.end():]
    return text


def safetensors(data, rng):
    n = struct.unpack_from("<Q", data)[0]
    kind = rng.randrange(4)
    if kind == 0:
        return change_bytes(data, rng, 8 + n)
    if kind == 1:  # what the header says
        header = change_json(data[8:8 + n], rng)
        return struct.pack("<Q", len(header)) + header + data[8 + n:]
    if kind == 2:  # values
        return data[:8 + n] + change_bytes(data[8 + n:], rng)[:len(data)].ljust(len(data) - 8 - n, b"\xff")[:len(data) - 8 - n]
    # A whole file with other tensors.
    tensors, metadata = read_safetensors(data)
    name = rng.choice(list(tensors))
    dtype, shape, values = tensors.pop(name)
    kind = rng.randrange(5)
    if kind == 0:
        tensors[name + rng.choice(["x", ".bias", "\x00", "/../x", "\u00e9" * 100])] = (dtype, shape, values)
    elif kind == 1:
        tensors[name] = (dtype, shape[::-1], values)
    elif kind == 2:
        tensors[name] = ({"BF16": "F16", "F16": "I16"}.get(dtype, "I16"), shape, values)
    elif kind == 3 and shape:
        size = len(values) // shape[0]
        rows = rng.choice([0, 1, shape[0] - 1])
        tensors[name] = (dtype, [rows] + shape[1:], values[:rows * size])
    return write_safetensors(tensors, metadata)


def gguf(data, rng):
    keys = list(re.finditer(rb"(?:llama|general|tokenizer)\.[a-z0-9._]+", data))
    header = keys[-1].end() + 4000
    if rng.random() < .5:
        return change_bytes(data, rng, header)
    m = rng.choice(keys)  # the value after a key and its type
    new = struct.pack("<Q", rng.choice(NUMBERS))[:rng.choice([1, 4, 8])]
    at = m.end() + rng.choice([0, 4, 4, 4, 8, 12])
    return data[:at] + new + data[at + len(new):]


def npy_file(data, rng):
    if rng.random() < .4:
        return change_bytes(data, rng, 128)
    size = struct.unpack_from("<H", data, 8)[0]
    header = data[10:10 + size]
    if rng.random() < .6:
        numbers = list(re.finditer(rb"\d+", header))
        m = rng.choice(numbers)
        header = header[:m.start()] + change_number(m.group(), rng) + header[m.end():]
    else:
        old, new = rng.choice([(b"<f4", b"<f2"), (b"<f4", b">f4"), (b"<f4", b"|O"), (b"<f4", b"<i4"), (b"False", b"True"),
                               (b"True", b"False"), (b"(", b"(1, "), (b"shape", b"order"), (b"}", b""), (b",)", b", 0)")])
        header = header.replace(old, new)
    return data[:8] + struct.pack("<H", len(header) & 0xffff) + header + data[10 + size:]


def npz(data, rng):
    if rng.random() < .5:
        return change_bytes(data, rng, len(data))
    out = io.BytesIO()
    warnings.simplefilter("ignore")  # of zipfile, about names that come twice
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            body = old.read(name)
            if rng.random() < .6:
                body = npy_file(body, rng)
            new.writestr(name if rng.random() < .9 else rng.choice(["x.npy", "../x.npy", "a/b.npy", "\u00e9.npy", "x"]), body,
                         rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    return out.getvalue()


def fvecs(data, rng):
    return change_bytes(data, rng, 8)


def archive(data, rng):
    """No checksum is repaired: nothing but an error, or what the undamaged file says, is right."""
    return change_bytes(data, rng, 8 + struct.unpack_from("<Q", data)[0] if rng.random() < .4 else None)


def repaired(data, rng):
    """Damage behind right checksums. The hashes of decoded values stay, so that coded tensors are as before, or refused."""
    a = Archive(data)
    records = a.index["tensors"]
    coded = [r for r in records if "recipe" in r]
    kind = rng.randrange(6)
    if kind < 2 and coded:
        r = rng.choice(coded)
        blob = change_bytes(a.tensors[r["name"]][2], rng, 40)
        a.set_blob(r, blob if rng.random() < .5 else blob + b"\x00" * (-len(blob) % 64))
        a.repair(r)
    elif kind == 2 and coded:
        recipes = a.index["recipes"]
        i = rng.randrange(len(recipes))
        numbers = list(re.finditer(r"\d+", recipes[i]))
        if numbers and rng.random() < .7:
            m = rng.choice(numbers)
            recipes[i] = recipes[i][:m.start()] + change_number(m.group(), rng).decode() + recipes[i][m.end():]
        else:
            recipes[i] = rng.choice(RECIPES + [recipes[i] + " > rans", recipes[i] + " + " + recipes[i], ""])
        for r in coded:
            a.repair(r)
    elif kind == 3:
        text = change_json(json.dumps(a.index).encode(), rng)
        return a.data(text.decode("utf-8", "replace"))
    elif kind == 4 and a.index["files"]:
        f = rng.choice(a.index["files"])
        a.set_side_file(f, change_json(a.side_file(f), rng))
    else:
        r = rng.choice(records)
        if r["shape"]:
            r["shape"][rng.randrange(len(r["shape"]))] = rng.choice(NUMBERS[:14])
        if "recipe" not in r:
            dtype, _, body = a.tensors[r["name"]]
            a.tensors[r["name"]] = (dtype, r["shape"], body)
        a.repair(r)
    return a.data()
