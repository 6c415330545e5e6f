#!/usr/bin/env python3
"""Second decoder of .occ archives, written from docs/reference/format.md; the standard library and numpy only.

    occ_decode.py ARCHIVE OUT_FOLDER                        every tensor to OUT_FOLDER/<name>.npy ('/' becomes '_')
    occ_decode.py ARCHIVE --compare-with REF.safetensors    compares with a file made by `decompress --dtype f32`

Checks every checksum, decodes every stage, and gives the same floats bit for bit. zstd comes from the system's
libzstd. With an output folder side files are unpacked as well, to OUT_FOLDER/files/. Exits with 1 on a difference, with
3 on an archive that is corrupt or unknown.
"""

import argparse
import ctypes
import json
import os
import re
import sys

import numpy as np

from occ_decode_entropy import (FormatError, Plane, decode_bitpack_tile, decode_rans_tiles, get_varint, load_rans,
                                require, tile_rows)
from occ_decode_hash import hex16, xxh64, xxh64_rows
from occ_decode_quantizers import QUANTIZERS
from occ_decode_transforms import F32, TRANSFORMS, ordered_product

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
          "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "u1"}


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


# -------------------------------------------------------------------------------------------------- symbols, chains


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
    codes = []
    for i, plane in enumerate(quantizer.planes):
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


def unpack_zstd(data):
    zstd = ctypes.CDLL("libzstd.so.1")
    zstd.ZSTD_decompress.restype = ctypes.c_size_t
    zstd.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
    size = zstd.ZSTD_getFrameContentSize(data, ctypes.c_size_t(len(data)))
    require(size < 1 << 30, "no zstd frame that states its size")
    out = ctypes.create_string_buffer(size + 1)
    got = zstd.ZSTD_decompress(out, ctypes.c_size_t(size), data, ctypes.c_size_t(len(data)))
    require(got == size, "bad zstd frame")
    return out.raw[:size]


def read_index(file):
    """The index in the form of version 0, except for its figures, which are numbers."""
    index = json.loads(file.metadata["occ"])
    if index["version"] == 0:
        return index
    require(index["version"] == 1, f"unknown format version {index['version']}")
    data = file.data("occ//index")
    require(hex16(xxh64(data)) == index["index"], "the archive index is corrupt")
    del file.header["occ//index"]
    size, at = get_varint(data, 0)
    index = json.loads(unpack_zstd(data[at : at + size]))
    at += size

    def take(dtype):
        nonlocal at
        value = np.frombuffer(data, dtype, 1, at)[0]
        at += value.itemsize
        return value if dtype == "<f4" else hex16(int(value))

    for record in index["tensors"]:
        if "recipe" in record:
            record["decoded"], record["nmse"] = take("<u8"), take("<f4")
            if "eigenvalues" in record:
                record["weighted_error"] = take("<f4")
        record["xxh64"] = take("<u8")
        for key in {"eigenvalues", "row_energies"} & record.keys():
            record[key] = bytes(np.cumsum(list(bytes.fromhex(record[key])), dtype=np.uint8)).hex()
    for f in index["files"]:
        f["xxh64"] = take("<u8")
    index["source"]["xxh64"] = take("<u8")
    require(at == len(data), "bytes left in the index")
    return index


def vocabulary(document):
    for entry in document.get("metadata", []):
        if entry.get("key") == "tokenizer.ggml.tokens":
            return entry["value"]
    return sorted(document["model"]["vocab"], key=document["model"]["vocab"].get)


def with_merges(text, merges):
    tokens = vocabulary(json.loads(text))
    place = {}
    for i, token in enumerate(tokens):
        place.setdefault(token, i)
    ranks, at, out = {}, 0, []
    others = {k: (left, right) for k, left, right in merges["others"]}

    def split(token):
        parts = list(token) if len(token.encode()) <= 256 else []
        while len(parts) > 1:
            pairs = [pair for pair in zip(parts, parts[1:]) if pair in ranks]
            if not pairs:
                break
            best, merged, i = min(pairs, key=ranks.get), [], 0
            while i < len(parts):
                here = tuple(parts[i : i + 2]) == best
                merged.append("".join(best) if here else parts[i])
                i += 2 if here else 1
            parts = merged
        return parts

    for k in range(merges["count"]):
        merge = None
        while at < len(tokens):
            parts = split(tokens[at])
            if len(parts) == 2:
                merge = tuple(parts)
                break
            at += 1
        merge = others.get(k, merge)
        require(merge is not None, "merges do not follow from the vocabulary")
        ranks.setdefault(merge, k)
        at = place["".join(merge)] + 1 if "".join(merge) in place else at
        out.append(merges["pair"].join(json.dumps(part, ensure_ascii=False)[1:-1] for part in merge))
    inserted = merges["open"] + merges["next"].join(out) + merges["close"]
    return text[: merges["at"]] + inserted.encode() + text[merges["at"] :]


def side_files(file, index):
    """Yields (name, bytes) of every side file."""
    for f in index["files"]:
        data = unpack_zstd(file.data("occ/" + f["name"]))
        require(len(data) == f["bytes"], f"file '{f['name']}': wrong size")
        yield f["name"], with_merges(data, f["merges"]) if "merges" in f else data


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
    index = read_index(file)
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
                values = file.values(record["name"])
                stored = record.get("stored", record["dtype"])
                require(file.header[record["name"]]["dtype"] == stored, "another type than in the index")
                yield record["name"], values
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
        archive = Safetensors(args.archive)
        for name, data in side_files(archive, read_index(archive)):
            os.makedirs(os.path.join(args.out_folder, "files"), exist_ok=True)
            with open(os.path.join(args.out_folder, "files", name), "wb") as f:
                f.write(data)
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
