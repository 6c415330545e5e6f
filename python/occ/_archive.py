"""occ.open: archives, and every other format that the command reads, as a mapping of names to lazy arrays."""

from __future__ import annotations

import os
import typing

import numpy as np

from . import _core, _safetensors


class Tensor:
    """A tensor of a file. Nothing is read or decoded before it is indexed or converted to an array.

    shape, dtype: as in the source; dtype as safetensors spells it ("F32", "BF16", "I64", ...).
    recipe: how it is coded; "" if it is kept as it is. stored_bytes: what it takes in the file.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    recipe: str
    stored_bytes: int

    def __init__(self, file: _core.File, index: int):
        self._file, self._index = file, index
        for key, value in file.describe(index).items():
            setattr(self, key, tuple(value) if key == "shape" else value)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.stored_bytes / self.size if self.size else 0.0

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor without dimensions")
        return self.shape[0]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        if copy is False:
            raise ValueError("values are decoded to a new array")
        values = self[...]
        return values if dtype is None else values.astype(dtype)

    def __getitem__(self, key: typing.Any) -> np.ndarray:
        """Values as an array: float types as float32 (float64 stays), integers in their own type.

        An index or a slice of the first dimension reads only these rows; what else the key says is numpy's indexing.
        """
        if self.dtype in ("F64",) or self.dtype[0] in "IUB" and self.dtype != "BF16":
            raw = np.frombuffer(self._file.read_raw(self._index), _safetensors.NUMPY_DTYPES[self.dtype])
            return raw.reshape(self.shape)[key]
        first, rest = key, ()
        if isinstance(key, tuple):
            first, rest = (key[0], key[1:]) if key else (Ellipsis, ())
        rows, columns = self._file.matrix_shape(self._index)
        whole = isinstance(first, bool) or not isinstance(first, (int, np.integer, slice)) or not self.shape or rows % max(self.shape[0], 1)
        if whole:
            return self._rows(0, rows).reshape(self.shape)[key]
        each = rows // max(self.shape[0], 1)  # rows of the matrix to one index of the first dimension
        if isinstance(first, slice):
            chosen = range(self.shape[0])[first]
            low, high = (min(chosen), max(chosen) + 1) if len(chosen) else (0, 0)
            part = self._rows(low * each, (high - low) * each).reshape((high - low,) + self.shape[1:])
            return part[np.asarray(chosen, dtype=np.intp) - low][(slice(None),) + rest]
        n = range(self.shape[0])[first]
        return self._rows(n * each, each).reshape((1,) + self.shape[1:])[(0,) + rest]

    def _rows(self, first, count):
        return self._file.read_rows(self._index, first, count)

    def __repr__(self):
        how = f"coded by {self.recipe}" if self.recipe else "kept"
        return f"Tensor({self.name!r}, shape={self.shape}, dtype={self.dtype!r}, {self.stored_bytes} bytes, {how})"


class Archive(typing.Mapping[str, Tensor]):
    """An open file: a mapping {name: Tensor}. Use occ.open(path)."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        self._file = _core.File(self.path)
        self._tensors = {}
        for i in range(len(self._file)):
            tensor = Tensor(self._file, i)
            self._tensors[tensor.name] = tensor

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> typing.Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Files are closed with the last tensor that refers to them."""
        self._tensors = {}
        self._file = None

    @property
    def format(self) -> str:
        """"occ", "safetensors", "hf", "gguf", "npy", ..."""
        return self._file.format

    @property
    def file_bytes(self) -> int:
        return self._file.file_bytes

    @property
    def bits_per_weight(self) -> float:
        """All bytes of the file over all weights."""
        weights = sum(t.size for t in self.values())
        return 8 * self.file_bytes / weights if weights else 0.0

    @property
    def metadata(self) -> dict[str, typing.Any]:
        """Of an archive: version of the format, tool, seed and format of the source. Empty for other files."""
        return self._file.index()

    def side_files(self) -> dict[str, bytes]:
        """{name: bytes} of configuration, tokenizer and what else belongs to a model."""
        return self._file.side_files()

    def limits(self) -> dict[str, typing.Any]:
        """Per coded tensor how far it is from the Shannon limit: the output of `occ inspect --limits --json`."""
        from ._command import inspect
        return inspect(self.path, limits=True)

    def verify(self) -> None:
        """Checks every byte of an archive and decodes everything; raises InputError at the first fault."""
        self._file.verify()

    def __repr__(self):
        return f"<occ {self.format} {self.path!r}, {len(self)} tensors, {self.bits_per_weight:.3f} bits per weight>"


def open(path: str | os.PathLike[str]) -> Archive:
    """Opens an archive, or any other format that `occ compress` reads, and reads its index only."""
    return Archive(path)
