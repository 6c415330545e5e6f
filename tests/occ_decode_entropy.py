"""Second decoder of the entropy coders, written from docs/reference/format.md, section 8; numpy and the standard library only.

    plane = Plane(rows=512, cols=512, alphabet=16)
    model, used = load_rans(plane, side)          # side: bytes that start with the coder's tables
    symbols = decode_rans_tile(model, row, rows, data)
    symbols = decode_bitpack_tile(plane, rows, data)

All lanes of a step are decoded at once; flat tiles take about a quarter of a second per 2^18 symbols,
decode_rans_tiles() with many flat tiles of one plane is several times faster per tile.

Run with --check FILE: decodes the cases of a JSON file (see registry_test.cc) and exits with 1 on a difference.
"""

import dataclasses
import json
import sys

import numpy as np

from occ_decode_range import (ESCAPE, ONE, WINDOW, Bits, FormatError, RangeDecoder, coded_table, get_tree,
                              read_frequencies, require)

LANES = 16


@dataclasses.dataclass
class Machine:
    next: np.ndarray  # [states, classes]
    context: np.ndarray  # [states]
    num_contexts: int  # may be more than `context` reaches


@dataclasses.dataclass
class Plane:
    rows: int
    cols: int
    alphabet: int
    lines: str = "rows"  # or "columns"
    table_ids: np.ndarray = None  # one per line, or None
    machine: Machine = None

    def num_lines(self):
        return self.rows if self.lines == "rows" else self.cols


def tile_rows(plane):
    rows = 4 * -(-(1 << 16) // max(plane.cols, 1))
    return max(rows, 1024) if plane.lines == "columns" else rows


def symbol_width(alphabet):
    return max(alphabet - 1, 0).bit_length()


def packed_bytes(count, width):
    return (count * width + 7) // 8


def unpack(data, width, count):
    """`count` values of `width` bits, lowest bit first."""
    if width == 0 or count == 0:
        return np.zeros(count, np.uint16)
    if width == 8:
        return np.frombuffer(data, np.uint8, count).astype(np.uint16)
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[: count * width]
    values = np.zeros(count, np.uint16)
    for i, column in enumerate(bits.reshape(count, width).T):
        values |= column.astype(np.uint16) << i
    return values


def get_varint(data, at):
    value = shift = 0
    while True:
        require(at < len(data) and shift < 64, "bad varint")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            require(value < 1 << 64, "bad varint")
            return value, at


# ---------------------------------------------------------------------------------------------------------- bitpack


def decode_bitpack_tile(plane, rows, data):
    width = symbol_width(plane.alphabet)
    count = rows * plane.cols
    require(len(data) == packed_bytes(count, width), "bitpack: wrong size")
    symbols = unpack(data, width, count)
    require(count == 0 or symbols.max() < plane.alphabet, "bitpack: symbol out of range")
    return symbols.reshape(rows, plane.cols)


# ------------------------------------------------------------------------------------------------------------- rans


@dataclasses.dataclass
class Model:
    plane: Plane
    shift: int = 0
    offset: int = 0
    contexts: int = 1
    ids: np.ndarray = None  # per line, or None: all 0
    num_ids: int = 1
    cross_ids: np.ndarray = None  # per position along the lines, or None: all 0
    num_cross: int = 1
    slot_id: np.ndarray = None  # [cells * 4096]
    slot_frequency: np.ndarray = None
    slot_bias: np.ndarray = None  # slot - first slot of the id
    escaped: list = None  # [cells]: tokens without a frequency, ascending

    def num_tables(self):
        return self.num_ids + self.num_cross - 1


def load_rans(plane, side):
    """Returns (model, bytes used)."""
    model = Model(plane)
    if plane.machine is not None:
        model.contexts = plane.machine.num_contexts
    if plane.alphabet == 1:
        return model, 0
    require(len(side) >= 1, "no side information")
    cross, coded = side[0] >= 0x80, side[0] & 0x40
    model.shift = side[0] & 0x3F
    require(model.shift <= 8, "bad shift")
    tokens = (plane.alphabet + (1 << model.shift) - 1) >> model.shift
    model.offset, at = get_varint(side, 1)
    require(model.offset == 0 or model.offset + WINDOW <= tokens, "bad offset")
    window = min(WINDOW, tokens - model.offset)
    model.num_ids, at = get_varint(side, at)
    require(1 <= model.num_ids <= 256, "bad number of table ids")
    if plane.table_ids is not None:
        model.ids = np.asarray(plane.table_ids, np.int64)
    if coded:
        frequencies = load_coded(model, cross, window, side, at)
        return with_tables(model, frequencies, tokens), len(side)
    if plane.table_ids is None and model.num_ids > 1:
        width = symbol_width(model.num_ids)
        size = packed_bytes(plane.num_lines(), width)
        require(at + size <= len(side), "side information too short")
        model.ids = unpack(side[at : at + size], width, plane.num_lines()).astype(np.int64)
        at += size
    require(model.ids is None or len(model.ids) == 0 or model.ids.max() < model.num_ids, "table id out of range")
    if cross:
        require(plane.table_ids is None, "cross ids beside ids of the plane")
        model.num_cross, at = get_varint(side, at)
        require(2 <= model.num_cross <= 256, "bad number of cross ids")
        width = symbol_width(model.num_cross)
        length = plane.cols if plane.lines == "rows" else plane.rows
        size = packed_bytes(length, width)
        require(at + size <= len(side), "side information too short")
        model.cross_ids = unpack(side[at : at + size], width, length).astype(np.int64)
        at += size
        require(length == 0 or model.cross_ids.max() < model.num_cross, "cross id out of range")
    require(model.num_tables() * model.contexts <= 4096, "too many tables")

    bits = Bits(side[at:])
    frequencies = []
    for cell in range(model.num_tables() * model.contexts):
        if bits.get(1):
            require(cell > 0, "a first table that repeats")
            frequencies.append(frequencies[-1])
        else:
            frequencies.append(read_frequencies(bits, window))
    return with_tables(model, frequencies, tokens), at + bits.bytes_used()


def with_tables(model, frequencies, tokens):
    model.escaped = []
    for f in frequencies:
        direct = np.nonzero(f[:WINDOW])[0] + model.offset
        escaped = np.setdiff1d(np.arange(tokens), direct, assume_unique=True)
        require((f[ESCAPE] != 0) == (len(escaped) != 0) and f[ESCAPE] <= ONE // 2, "bad escape frequency")
        model.escaped.append(escaped)
    ids = np.arange(WINDOW + 1)
    model.slot_id = np.concatenate([np.repeat(ids, f) for f in frequencies])
    model.slot_frequency = np.concatenate([np.repeat(f, f) for f in frequencies])
    model.slot_bias = np.concatenate([np.arange(ONE) - np.repeat(np.cumsum(f) - f, f) for f in frequencies])
    return model


def load_coded(model, cross, window, side, at):
    """Sets the ids, returns the frequencies of all cells."""
    plane = model.plane
    if cross:
        require(plane.table_ids is None, "cross ids beside ids of the plane")
        model.num_cross, at = get_varint(side, at)
        require(2 <= model.num_cross <= 256, "bad number of cross ids")
    require(model.num_tables() * model.contexts <= 4096, "too many tables")
    mirrors = []
    for _ in range(model.contexts):
        mirror, at = get_varint(side, at)
        require(mirror <= 2 * WINDOW, "bad mirror")
        mirrors.append(mirror)
    coded = RangeDecoder(bytes(side[at:]))
    if plane.table_ids is None and model.num_ids > 1:
        models, width = {}, symbol_width(model.num_ids)
        model.ids = np.array([get_tree(coded, models, width) for _ in range(plane.num_lines())], np.int64)
    require(model.ids is None or len(model.ids) == 0 or model.ids.max() < model.num_ids, "table id out of range")
    if cross:
        models, width = {}, symbol_width(model.num_cross)
        length = plane.cols if plane.lines == "rows" else plane.rows
        model.cross_ids = np.array([get_tree(coded, models, width) for _ in range(length)], np.int64)
        require(length == 0 or model.cross_ids.max() < model.num_cross, "cross id out of range")
    models, frequencies = {}, []
    for cell in range(model.num_tables() * model.contexts):
        if cell and coded.get(models, "repeated"):
            frequencies.append(frequencies[-1])
            continue
        above = frequencies[cell - model.contexts] if cell >= model.contexts else None
        frequencies.append(coded_table(coded, models, window, mirrors[cell % model.contexts], above))
    coded.finish()
    return frequencies


def read_escape(bits, escaped):
    """Truncated binary rank -> token."""
    n = len(escaped)
    w = n.bit_length() - 1
    u = (2 << w) - n
    rank = bits.get(w)
    if rank >= u:
        rank = 2 * rank + bits.get(1) - u
    require(rank < n, "escape out of range")
    return int(escaped[rank])


class RansTile:
    """The parts of a tile of mode 1."""

    def __init__(self, model, count, data):
        escape_bytes, at = get_varint(data, 1)
        size = packed_bytes(count, model.shift)
        require(at + size <= len(data), "tile too short")
        self.low = unpack(data[at : at + size], model.shift, count)
        at += size
        bits = Bits(data[at : at + 70])
        self.x = np.empty(LANES, np.int64)
        for lane in range(LANES):
            n = bits.get(4)
            self.x[lane] = (1 << (16 + n)) + bits.get(16 + n)
        at += bits.bytes_used()
        require(at + escape_bytes <= len(data), "tile too short")
        self.escapes = Bits(data[at : at + escape_bytes])
        at += escape_bytes
        require((len(data) - at) % 2 == 0, "half a word")
        self.words = np.frombuffer(data, np.uint16, offset=at).astype(np.int64)

    def finish(self, words_used):
        require(words_used == len(self.words), "words left or missing")
        require(self.escapes.bytes_used() * 8 == self.escapes.left, "escape bits left")
        require((self.x == 1 << 16).all(), "states do not end where they began")


def decode_flat(model, tiles, count):
    """ids [len(tiles), count] of tiles of mode 1 with one table; all tiles at once."""
    steps = -(-count // LANES)
    ids = np.empty((len(tiles), steps, LANES), np.int16)
    x = np.stack([t.x for t in tiles])
    starts = np.cumsum([0] + [len(t.words) for t in tiles])
    # One word more, for the reads of streams that are too short; finish() finds them.
    words = np.concatenate([t.words for t in tiles] + [np.zeros(1, np.int64)])
    at = starts[:-1].copy()
    for step in range(steps):
        lanes = min(LANES, count - step * LANES)
        y = x[:, :lanes]
        slot = y & (ONE - 1)
        ids[:, step, :lanes] = model.slot_id[slot]
        y = model.slot_frequency[slot] * (y >> 12) + model.slot_bias[slot]
        needs = y < 1 << 16
        order = np.cumsum(needs, axis=1)
        word = words[np.minimum(at[:, None] + order - 1, len(words) - 1)]
        x[:, :lanes] = np.where(needs, (y << 16) | word, y)
        at += order[:, -1]
    for tile, state, end, start in zip(tiles, x, at, starts):
        tile.x = state
        tile.words_used = end - start
    return ids.reshape(len(tiles), -1)[:, :count].astype(np.int64)


def resolve(model, tile, ids, cells):
    """ids and cells in walk order -> symbols, where no machine needed them earlier."""
    tokens = ids + model.offset
    for i in np.nonzero(ids == ESCAPE)[0]:
        tokens[i] = read_escape(tile.escapes, model.escaped[cells if np.isscalar(cells) else cells[i]])
    return (tokens << model.shift) | tile.low


def decode_walk(model, tile, row, shape):
    """Tiles of mode 1 whose tables differ by row or column: symbols of `shape`, transposed for machines along rows."""
    rows, cols = shape
    plane = model.plane
    machine = plane.machine
    # Ids of the tile's rows and columns as they are in the plane, then of those of the walk.
    ids = np.zeros(plane.num_lines(), np.int64) if model.ids is None else model.ids
    cross = model.cross_ids
    if cross is None:
        cross = np.zeros(plane.cols if plane.lines == "rows" else plane.rows, np.int64)
    of_rows, of_cols = (ids, cross) if plane.lines == "rows" else (cross, ids)
    if machine is not None and plane.lines == "rows":
        row_ids, col_ids = of_cols, of_rows[row : row + cols]
    else:
        row_ids, col_ids = of_rows[row : row + rows], of_cols
    cells = col_ids * model.contexts
    low = tile.low.reshape(rows, cols)
    states = np.zeros(cols, np.int64)
    out = np.empty((rows, cols), np.int64)
    words = np.concatenate([tile.words, np.zeros(LANES, np.int64)])
    at = 0
    for r in range(rows):
        for c in range(0, cols, LANES):
            part = slice(c, min(c + LANES, cols))
            cell = row_ids[r] * model.contexts + cells[part]
            if machine is not None:
                cell = cell + machine.context[states[part]]
            y = tile.x[: part.stop - c]
            slot = (y & (ONE - 1)) + cell * ONE
            found = model.slot_id[slot]
            y = model.slot_frequency[slot] * (y >> 12) + model.slot_bias[slot]
            needs = np.nonzero(y < 1 << 16)[0]
            require(at + len(needs) <= len(tile.words), "words missing")
            y[needs] = (y[needs] << 16) | words[at : at + len(needs)]
            at += len(needs)
            tile.x[: part.stop - c] = y
            tokens = found + model.offset
            for i in np.nonzero(found == ESCAPE)[0]:
                tokens[i] = read_escape(tile.escapes, model.escaped[cell[i]])
            symbols = (tokens << model.shift) | low[r, part]
            out[r, part] = symbols
            if machine is not None:
                states[part] = machine.next[states[part], symbols & (machine.next.shape[1] - 1)]
    tile.words_used = at
    return out


def decode_sparse(plane, count, data):
    size = (symbol_width(plane.alphabet) + 7) // 8

    def symbol(at):
        require(at + size <= len(data), "tile too short")
        value = int.from_bytes(data[at : at + size], "little")
        require(value < plane.alphabet, "symbol out of range")
        return value, at + size

    common, at = symbol(1)
    out = np.full(count, common, np.int64)
    position = 0
    while at < len(data):
        gap, at = get_varint(data, at)
        position += gap
        require(position < count, "exception beyond the tile")
        out[position], at = symbol(at)
        position += 1
    return out


def decode_rans_tiles(model, tiles):
    """tiles: a list of (row, rows, data); returns their symbols. Flat tiles of one size are decoded together."""
    plane = model.plane
    out = [None] * len(tiles)
    flat = {}
    for i, (row, rows, data) in enumerate(tiles):
        count = rows * plane.cols
        if count == 0 or plane.alphabet == 1:
            require(len(data) == 0, "bytes where none are needed")
            out[i] = np.zeros(count, np.int64)
            continue
        require(len(data) > 0 and data[0] <= 2, "bad tile mode")
        if data[0] == 0:
            out[i] = decode_sparse(plane, count, data)
        elif data[0] == 2:
            width = symbol_width(plane.alphabet)
            require(len(data) == 1 + packed_bytes(count, width), "wrong size of a packed tile")
            out[i] = unpack(data[1:], width, count)
        elif model.num_tables() == 1 and plane.machine is None:
            flat.setdefault(count, []).append((i, RansTile(model, count, data)))
        else:
            tile = RansTile(model, count, data)
            turned = plane.machine is not None and plane.lines == "rows"
            shape = (plane.cols, rows) if turned else (rows, plane.cols)
            symbols = decode_walk(model, tile, row, shape)
            out[i] = (symbols.T if turned else symbols).reshape(-1)
            tile.finish(tile.words_used)
    for count, group in flat.items():
        for (i, tile), ids in zip(group, decode_flat(model, [t for _, t in group], count)):
            out[i] = resolve(model, tile, ids, 0)
            tile.finish(tile.words_used)
    for i, (_, rows, _) in enumerate(tiles):
        require(len(out[i]) == 0 or out[i].max() < plane.alphabet, "symbol out of range")
        out[i] = out[i].astype(np.uint16).reshape(rows, plane.cols)
    return out


def decode_rans_tile(model, row, rows, data):
    return decode_rans_tiles(model, [(row, rows, data)])[0]


# ------------------------------------------------------------------------------------------------------------ check


def check(path):
    cases = json.load(open(path))
    for case in cases:
        plane = Plane(case["rows"], case["cols"], case["alphabet"], case["lines"])
        if case["table_ids"]:
            plane.table_ids = np.array(case["table_ids"], np.int64)
        if case["context"]:
            context = np.array(case["context"], np.int64)
            following = np.array(case["next"], np.int64).reshape(len(context), -1)
            plane.machine = Machine(following, context, case["num_contexts"])
        side = bytes.fromhex(case["side"])
        tiles = [(row, rows, bytes.fromhex(data)) for row, rows, data in case["tiles"]]
        if case["coder"] == "bitpack":
            parts = [decode_bitpack_tile(plane, rows, data) for _, rows, data in tiles]
        else:
            model, used = load_rans(plane, side)
            require(used == len(side), "side information left")
            parts = decode_rans_tiles(model, tiles)
        symbols = np.concatenate(parts) if parts else np.zeros((0, plane.cols))
        if symbols.reshape(-1).tolist() != case["symbols"]:
            print("difference:", {k: case[k] for k in ("coder", "rows", "cols", "alphabet", "lines")})
            return 1
    print(f"{len(cases)} cases decoded")
    return 0


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        sys.exit(check(sys.argv[2]))
    print(__doc__)
    sys.exit(2)
