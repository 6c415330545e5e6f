"""occ.VectorIndex."""

from __future__ import annotations

import os
import typing

import numpy as np

from . import _core

Path = typing.Union[str, "os.PathLike[str]"]
_METRICS = {"l2": 0, "ip": 1, "cosine": 2}


class VectorIndex:
    """The vectors (rows) of archives, searched from their codes. `occ index` makes such archives; every other file with
    matrices of one width works as well.

    len(index) is the number of vectors, counted through all files; index.dimension their length, and index.kinds tells
    of each matrix how it is searched, such as "16 codes of 8 bits".
    """

    def __init__(self, *paths: Path) -> None:
        self._core = _core.VectorIndex([os.fspath(p) for p in paths])

    def __len__(self) -> int:
        return len(self._core)

    @property
    def dimension(self) -> int:
        return self._core.dimension

    @property
    def kinds(self) -> typing.List[str]:
        return self._core.kinds

    def search(self, queries: typing.Any, k: int = 10,
               metric: str = "l2") -> typing.Tuple[np.ndarray, np.ndarray]:
        """Finds the k nearest vectors of each query.

        queries: [queries, dimension], or one query [dimension].
        metric: "l2" (squared distances), "ip" (inner products) or "cosine".

        Returns ids [queries, min(k, vectors)] (uint64), nearest first, and distances to the decoded vectors of the same
        shape (float32); for one query both have one dimension.
        """
        if metric not in _METRICS:
            raise _core.UsageError(f"metric: expected one of {', '.join(_METRICS)}, found {metric!r}")
        array = np.ascontiguousarray(queries, dtype=np.float32)
        if array.ndim not in (1, 2):
            raise _core.UsageError(f"queries: expected 1 or 2 dimensions, found {array.ndim}")
        ids, distances = self._core.search(np.atleast_2d(array), k, _METRICS[metric])
        return (ids[0], distances[0]) if array.ndim == 1 else (ids, distances)

    def __getitem__(self, ids: typing.Any) -> np.ndarray:
        """Decoded vectors: [dimension] for a number, [n, dimension] for a sequence of numbers."""
        if isinstance(ids, (int, np.integer)):
            return self._core.read([range(len(self))[int(ids)]])[0]
        return self._core.read([int(i) for i in ids])
