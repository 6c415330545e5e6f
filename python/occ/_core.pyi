"""Types of the extension module (python/core/)."""

import os
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import numpy as np
import numpy.typing as npt

_Path = Union[str, "os.PathLike[str]"]
_Floats = npt.NDArray[np.float32]

class Error(Exception): ...
class FailedError(Error): ...
class UsageError(Error, ValueError): ...
class InputError(Error, ValueError): ...

class TensorReport:
    name: str
    shape: List[int]
    dtype: str
    recipe: str
    note: str
    choice: str
    elements: int
    bytes: int
    nmse: float
    weighted_error: Optional[float]
    sensitivity: Optional[float]
    limit_bpw: Optional[float]
    bpw: float
    gap_bits: Optional[float]

class CompressReport:
    tensors: List[TensorReport]
    notes: List[str]
    elements: int
    input_bytes: int
    file_bytes: int
    nmse: float
    seconds: float
    peak_bytes: int
    verified: bool
    loss: Optional[float]
    loss_tokens: int
    loss_text: str
    bpw: float

def compress(input: _Path, output: _Path, settings: Dict[str, Any], calibrate: Optional[bool],
             progress: Optional[Callable[[str, int, int], Any]], warn: Callable[[str], Any]) -> CompressReport: ...

class File:
    def __init__(self, path: _Path) -> None: ...
    def __len__(self) -> int: ...
    format: str
    file_bytes: int
    def describe(self, index: int) -> Dict[str, Any]: ...
    def matrix_shape(self, index: int) -> Tuple[int, int]: ...
    def read_rows(self, index: int, row: int, rows: int) -> _Floats: ...
    def read_raw(self, index: int) -> bytearray: ...
    def index(self) -> Dict[str, Any]: ...
    def side_files(self) -> Dict[str, bytes]: ...
    def verify(self) -> None: ...

class Causal:
    def __init__(self, path: _Path, f32: bool, context: int) -> None: ...
    vocab_size: int
    context: int
    weight_bytes: int
    def generate(self, prompt: List[int], max_tokens: int, temperature: float, top_k: int, top_p: float, seed: int,
                 stop: List[str], on_text: Optional[Callable[[str], Any]]) -> Dict[str, Any]: ...
    def chat(self, json: str) -> Tuple[str, List[int]]: ...
    def logits(self, tokens: List[int]) -> _Floats: ...
    def tokenize(self, text: str, special: bool) -> List[int]: ...
    def detokenize(self, tokens: List[int]) -> str: ...

class Encoder:
    def __init__(self, path: _Path, f32: bool) -> None: ...
    weight_bytes: int
    def embed(self, texts: List[str]) -> _Floats: ...
    def tokenize(self, text: str, special: bool) -> List[int]: ...
    def detokenize(self, tokens: List[int]) -> str: ...

