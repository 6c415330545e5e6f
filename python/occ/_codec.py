"""occ.Codec: arrays to bytes and back."""

from __future__ import annotations

import os
import tempfile

import numpy as np

from ._archive import Archive
from ._compress import compress


class Codec:
    """Codes arrays as bytes, each a whole archive: what it says of itself costs some hundred bytes.

    Takes the options of occ.compress that say how an array is coded (bits, method, recipe, nmse, effort, seed, ...).

        codec = occ.Codec(bits=4)
        data = codec.encode(array)      # bytes
        back = occ.Codec.decode(data)   # float32 array of the same shape
    """

    def __init__(self, **options):
        self.options = options

    def encode(self, array: np.ndarray) -> bytes:
        """The bytes of an archive with this one array."""
        with tempfile.TemporaryDirectory(prefix="occ-") as folder:
            path = os.path.join(folder, "array.occ")
            compress(np.asarray(array), path, sync=False, **self.options)
            with open(path, "rb") as f:
                return f.read()

    @staticmethod
    def decode(data: bytes) -> np.ndarray:
        """The array of encode(). Raises InputError if the bytes are damaged."""
        with tempfile.TemporaryDirectory(prefix="occ-") as folder:
            path = os.path.join(folder, "array.occ")
            with open(path, "wb") as f:
                f.write(data)
            (tensor,) = Archive(path).values()
            return np.asarray(tensor)
