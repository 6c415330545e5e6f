"""The files that the campaign damages: small models and arrays, and readers and writers that are independent of occ."""
import ctypes
import json
import os
import random
import struct

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2,
         "U8": 1, "BOOL": 1}


def library(name, function, result, *arguments):
    f = getattr(ctypes.CDLL(name), function)
    f.restype, f.argtypes = result, arguments
    return f


# Libraries that occ itself needs.
XXH64 = library("libxxhash.so.0", "XXH64", ctypes.c_uint64, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64)
COMPRESS = library("libzstd.so.1", "ZSTD_compress", ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p,
                   ctypes.c_size_t, ctypes.c_int)
DECOMPRESS = library("libzstd.so.1", "ZSTD_decompress", ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t,
                     ctypes.c_char_p, ctypes.c_size_t)
CONTENT_SIZE = library("libzstd.so.1", "ZSTD_getFrameContentSize", ctypes.c_uint64, ctypes.c_char_p, ctypes.c_size_t)


def hex_hash(data):
    return f"{XXH64(data, len(data), 0):016x}"


def zstd(data):
    out = ctypes.create_string_buffer(len(data) + len(data) // 100 + 200)
    return out.raw[:COMPRESS(out, len(out), data, len(data), 1)]


def unzstd(data, size):
    out = ctypes.create_string_buffer(size)
    DECOMPRESS(out, size, data, len(data))
    return out.raw


# ---- safetensors: {name: (dtype, shape, bytes)} and metadata ----

def read_safetensors(data):
    n = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:8 + n])
    metadata = header.pop("__metadata__", {})
    rest = data[8 + n:]
    return {k: (v["dtype"], v["shape"], rest[v["data_offsets"][0]:v["data_offsets"][1]])
            for k, v in header.items()}, metadata


def write_safetensors(tensors, metadata=None):
    header, at = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    return struct.pack("<Q", len(text)) + text + b"".join(t[2] for t in tensors.values())


# ---- archives (docs/reference/format.md) ----

class Archive:
    def __init__(self, data):
        self.tensors, metadata = read_safetensors(data)
        self.index = json.loads(metadata["occ"])
        if self.index["version"] == 1:
            self.unpack_index()

    def unpack_index(self):
        """The index becomes that of version 0, whose text can be damaged at any place."""
        data = self.tensors.pop("occ//index")[2]
        size = at = shift = 0
        while at == 0 or data[at - 1] >= 0x80:
            size |= (data[at] & 0x7f) << shift
            at, shift = at + 1, shift + 7
        frame, at = data[at:at + size], at + size
        self.index = json.loads(unzstd(frame, CONTENT_SIZE(frame, len(frame))))
        self.index["version"] = 0

        def take(kind):
            nonlocal at
            value, = struct.unpack_from(kind, data, at)
            at += struct.calcsize(kind)
            return f"{value:016x}" if kind == "<Q" else float(f"{value:.6g}")

        for record in self.index["tensors"]:
            if "recipe" in record:
                record["decoded"], record["nmse"] = take("<Q"), take("<f")
                if "eigenvalues" in record:
                    record["weighted_error"] = take("<f")
            record["xxh64"] = take("<Q")
            for key in {"eigenvalues", "row_energies"} & record.keys():
                values = list(bytes.fromhex(record[key]))
                record[key] = bytes(sum(values[:i + 1]) & 0xff for i in range(len(values))).hex()
        for record in self.index["files"]:
            record["xxh64"] = take("<Q")
        self.index["source"]["xxh64"] = take("<Q")

    def side_file(self, record):
        return unzstd(self.tensors["occ/" + record["name"]][2], record["bytes"])

    def set_side_file(self, record, data):
        packed = zstd(data)
        record["bytes"], record["xxh64"] = len(data), hex_hash(packed)
        self.tensors["occ/" + record["name"]] = ("U8", [len(packed)], packed)

    def set_blob(self, record, data):
        self.tensors[record["name"]] = ("U8", [len(data)], data)

    def repair(self, record):
        """Gives the tensor the checksum of what it is now."""
        recipes = self.index["recipes"]
        recipe = recipes[record["recipe"]] if "recipe" in record else ""
        shape = "[" + ",".join(str(d) for d in record["shape"]) + "]"
        text = "\n".join([record["name"], record["dtype"], shape, recipe, record.get("decoded", "0" * 16),
                          hex_hash(self.tensors[record["name"]][2])])
        record["xxh64"] = hex_hash(text.encode())

    def data(self, index=None):
        text = index or json.dumps(self.index, separators=(",", ":"))
        return write_safetensors(self.tensors, {"occ": text, "occ_check": hex_hash(text.encode())})


# ---- what is damaged ----

def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def model_folder(path, name="llama-plain"):
    """A model with two layers of width 32, from the corpus of the fuzz targets, with random weights."""
    text = read(f"{ROOT}/fuzz/corpus/convert/{name}-folder")
    config, tokenizer, lines = text[2:].split(b"\n---\n")[:3]
    rng = random.Random(name)
    tensors = {}
    for line in lines.decode().splitlines():
        dtype, shape, _, tensor = line.split()[:4]
        shape = [int(d) for d in shape.split(",")]
        count = 1
        for d in shape:
            count *= d
        values = [1 + rng.gauss(0, .2) if "norm" in tensor else rng.gauss(0, .3) for _ in range(count)]
        floats = struct.pack(f"<{count}f", *values)
        tensors[tensor] = (dtype, shape, b"".join(floats[i + 2:i + 4] for i in range(0, 4 * count, 4)))
        assert dtype == "BF16"
    os.makedirs(path)
    write(f"{path}/config.json", config)
    write(f"{path}/tokenizer.json", tokenizer)
    write(f"{path}/tokenizer_config.json",
          b'{"chat_template": "{% for message in messages %}{{\'<|im_start|>\' + message[\'role\'] + \'\\n\' + '
          b'message[\'content\'] + \'<|im_end|>\' + \'\\n\'}}{% endfor %}"}')
    write(f"{path}/model.safetensors", write_safetensors(tensors))


def floats(count, seed=7):
    rng = random.Random(seed)
    return struct.pack(f"<{count}f", *(rng.gauss(0, 1) for _ in range(count)))


def npy(data, shape, kind="<f4", fortran=False):
    header = f"{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': ({', '.join(map(str, shape))},), }}"
    header += " " * (-(11 + len(header)) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def fvecs(rows, cols):
    data = floats(rows * cols)
    return b"".join(struct.pack("<i", cols) + data[4 * cols * i:4 * cols * (i + 1)] for i in range(rows))
