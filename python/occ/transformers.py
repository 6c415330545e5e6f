"""Compressed models as models of transformers (extra `transformers`)."""

from __future__ import annotations

import os
import tempfile
import typing

import torch
import transformers

from ._archive import Tensor
from ._archive import open as _open
from ._command import run as _run
from .torch import load_tensor


class CodedLinear(torch.nn.Module):
    """A linear layer whose weight [out, in] stays in the compressed file and is decoded for every call."""

    def __init__(self, tensor: Tensor, bias: torch.Tensor | None, dtype: torch.dtype):
        super().__init__()
        self.tensor, self.dtype, self.bias = tensor, dtype, bias
        self.out_features, self.in_features = tensor.shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, load_tensor(self.tensor, self.dtype).to(x.device, x.dtype), self.bias)


def load(path: str | os.PathLike[str], *, dtype: torch.dtype = torch.float32, on_the_fly: bool = False,
         model_class: typing.Any = None) -> transformers.PreTrainedModel:
    """A PreTrainedModel of an archive that was made from a Hugging Face folder or a GGUF.

    on_the_fly: weights of linear layers stay in the compressed file and are decoded whenever they are used: little
        memory, slow. Otherwise everything is decoded once. For archives of folders only, because of the names.
    model_class: the class of transformers to make; default AutoModelForCausalLM, or AutoModel for encoders.
    The tokenizer: load_tokenizer(path).
    """
    with tempfile.TemporaryDirectory(prefix="occ-") as folder:
        model_folder = os.path.join(folder, "model")
        if not on_the_fly:
            _run("decompress", path, "-o", model_folder, "--quiet")
        else:
            _write_side_files(path, model_folder)
        config = transformers.AutoConfig.from_pretrained(model_folder)
        if model_class is None:
            causal = any("CausalLM" in a or "LMHead" in a for a in config.architectures or [])
            model_class = transformers.AutoModelForCausalLM if causal else transformers.AutoModel
        if not on_the_fly:
            return model_class.from_pretrained(model_folder, torch_dtype=dtype).eval()
        model = model_class.from_config(config, torch_dtype=dtype).eval()
        return _attach(model, path, dtype)


def load_tokenizer(path: str | os.PathLike[str]) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer that an archive was made with."""
    with tempfile.TemporaryDirectory(prefix="occ-") as folder:
        _write_side_files(path, folder)
        return transformers.AutoTokenizer.from_pretrained(folder)


def _write_side_files(path, folder):
    with _open(path) as f:
        for name, data in f.side_files().items():
            target = os.path.join(folder, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as out:
                out.write(data)


def _attach(model, path, dtype):
    f = _open(path)
    prefix = getattr(model, "base_model_prefix", "")
    named = {}
    for name, tensor in f.items():
        named[name] = tensor
        if name.startswith(prefix + "."):
            named.setdefault(name[len(prefix) + 1:], tensor)
        else:
            named.setdefault(f"{prefix}.{name}", tensor)
    tied = model.get_output_embeddings() if getattr(model.config, "tie_word_embeddings", False) else None
    rest = {}
    for name, _ in list(model.state_dict().items()):
        if name in named:
            rest[name] = named[name]
    for module_name, module in list(model.named_modules()):
        weight = f"{module_name}.weight"
        if not isinstance(module, torch.nn.Linear) or module is tied or weight not in rest:
            continue
        tensor = rest.pop(weight)
        parent, _, child = module_name.rpartition(".")
        setattr(model.get_submodule(parent), child, CodedLinear(tensor, module.bias, dtype))
    missing, _ = model.load_state_dict({n: load_tensor(t, dtype) for n, t in rest.items()}, strict=False)
    missing = [n for n in missing if not (tied is not None and n.endswith("lm_head.weight"))]
    if missing:
        from ._core import InputError
        raise InputError(f"{path}: on_the_fly: expected the tensor '{missing[0]}', found none")
    return model
