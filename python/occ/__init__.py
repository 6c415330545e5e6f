"""Compresses the weights of language models and other large matrices by choosing the right coordinate system.

    import occ
    occ.compress("SmolLM2-135M", "small.occ", bits=3)         # a folder, a GGUF, arrays, a state dict
    with occ.open("small.occ") as f:                          # a mapping of names to lazy arrays
        w = f["model.norm.weight"][:]
    print(occ.Model("small.occ").generate("Once upon a time"))

Long calls free the interpreter lock and end at Ctrl-C; callbacks run on the thread that made the call.
"""

from ._archive import Archive, Tensor, open
from ._codec import Codec
from ._command import evaluate, inspect, methods
from ._compress import compress
from ._core import CompressReport, Error, FailedError, InputError, TensorReport, UsageError
from ._model import Encoder, Model
from ._search import VectorIndex

__version__ = "0.2.0"
__all__ = [
    "Archive", "Codec", "CompressReport", "Encoder", "Error", "FailedError", "InputError", "Model", "Tensor",
    "TensorReport", "UsageError", "VectorIndex", "compress", "evaluate", "inspect", "methods", "open",
]
