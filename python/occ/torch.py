"""State dicts of torch from compressed files (extra `torch`)."""

from __future__ import annotations

import os

import numpy as np
import torch

from ._archive import Tensor
from ._archive import open as _open

_FLOATS = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}


def load_tensor(tensor: Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """A tensor of occ.open(path) as a torch tensor: in the type of the source, or floats in `dtype`."""
    values = torch.from_numpy(np.array(tensor))
    wanted = _FLOATS.get(tensor.dtype)
    return values if wanted is None else values.to(dtype or wanted)


def load_state_dict(path: str | os.PathLike[str], *, dtype: torch.dtype | None = None,
                    device: torch.device | str | None = None) -> dict[str, torch.Tensor]:
    """{name: torch tensor} of all tensors of a file, decoded one after the other."""
    with _open(path) as f:
        return {name: load_tensor(t, dtype).to(device) for name, t in f.items()}
