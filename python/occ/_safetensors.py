"""Writes arrays and torch tensors as a safetensors file, which the C++ library reads."""

import json
import os
import struct

import numpy as np

from ._core import UsageError

_DTYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
           "int16": "I16", "int8": "I8", "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8",
           "bool": "BOOL"}
NUMPY_DTYPES = {safetensors: np.dtype(numpy) for numpy, safetensors in _DTYPES.items() if numpy != "bfloat16"}


def _plain(name, value):
    """A contiguous little-endian array with the bytes of `value`, and the name of its type in safetensors."""
    if type(value).__module__.split(".")[0] == "torch":
        value = value.detach().cpu().contiguous()
        dtype = str(value.dtype).removeprefix("torch.") if hasattr(str, "removeprefix") else str(value.dtype)[6:]
        if dtype == "bfloat16":
            import torch
            value = value.view(torch.int16)
        value = value.numpy()
    else:
        value = np.asarray(value)
        dtype = value.dtype.name  # "bfloat16" is a type of the package ml_dtypes
        if dtype == "bfloat16":
            value = value.view(np.int16)
    if dtype not in _DTYPES:
        raise UsageError(f"tensor '{name}': expected one of the types {', '.join(_DTYPES)}, found {dtype}")
    little = value.dtype.newbyteorder("<")
    return np.ascontiguousarray(value, dtype=little).reshape(value.shape), _DTYPES[dtype]


def write(path, tensors):
    """Writes {name: array or torch tensor}, one at a time, so that no more than one is copied."""
    header, offset = {}, 0
    for name, value in tensors.items():
        count = int(np.prod(value.shape, dtype=np.int64))
        size = count * (value.element_size() if hasattr(value, "element_size") else np.asarray(value).dtype.itemsize)
        header[name] = {"dtype": None, "shape": list(value.shape), "data_offsets": [offset, offset + size]}
        offset += size
    for name, value in tensors.items():
        header[name]["dtype"] = _plain(name, value[:0] if len(value.shape) > 0 else value)[1]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name, value in tensors.items():
            f.write(_plain(name, value)[0].data if value.shape != () else _plain(name, value)[0].tobytes())
