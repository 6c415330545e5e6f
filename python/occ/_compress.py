"""occ.compress."""

from __future__ import annotations

import os
import typing
import tempfile
import warnings

from . import _core, _safetensors


Path = typing.Union[str, "os.PathLike[str]"]


def compress(model: typing.Any, out: Path, *, bits: float | None = None, size: int | None = None,
             ratio: float | None = None, nmse: float | None = None, method: str | None = None,
             recipe: str | None = None, effort: int | None = None,
             calibrate: bool | Path | typing.Sequence[Path] | None = None, calibration_tokens: int | None = None,
             context: int | None = None, tune_tokens: int | None = None, tune_weights: int | None = None,
             tensors: typing.Mapping[str, str] | None = None, keep: typing.Sequence[str] | None = None,
             activations: Path | None = None, hessian: Path | None = None, sensitivity: Path | None = None,
             seed: int | None = None, threads: int | None = None, force: bool = False, resume: bool = False,
             verify: bool = True, sync: bool = True, dry_run: bool = False,
             progress: typing.Callable[[str, int, int], typing.Any] | None = None) -> _core.CompressReport:
    """Compresses a model, a file of tensors, an array or a state dict to the archive `out`.

    model: path of a Hugging Face folder, .safetensors, .gguf, .npy, .npz, .fvecs or .occ file; or an array of numpy or
        torch (stored under the name "array"); or a dict {name: array}, such as a state dict.
    bits, size, ratio, nmse: at most one of them. Bits per weight of the whole file (default 4); bytes of the file;
        input size over file size; the largest error, |W - W'|^2 / |W|^2.
    method, recipe: see occ.methods(); a recipe fixes the rate.
    effort: 1 (quick) to 9 (smallest); default 3, calibrated 6.
    calibrate: None calibrates language models and encoders on the mixed text of the package; False does not; a path or
        a list of paths (.txt, .jsonl, folders) are the texts to calibrate on. Only for models on disk.
    calibration_tokens, context, tune_tokens, tune_weights: as `occ compress --help` says.
    tensors: {glob: method, recipe or "keep"}; keep: globs of tensors kept as they are.
    activations, hessian, sensitivity: paths, as on the command line.
    progress: called as progress(phase, done, total), on the calling thread.

    Returns a CompressReport. Raises UsageError, InputError or FailedError; nothing is written then, except the parts
    of an interrupted run in `out`.part, with which `resume=True` goes on.
    """
    settings = dict(bits=bits, size=size, ratio=ratio, nmse=nmse, method=method, recipe=recipe, effort=effort,
                    calibration_tokens=calibration_tokens, context=context, tune_tokens=tune_tokens,
                    tune_weights=tune_weights, keep=keep, activations=_path(activations), hessian=_path(hessian),
                    sensitivity=_path(sensitivity), seed=seed, threads=threads, force=force, resume=resume,
                    verify=verify, sync=sync, dry_run=dry_run)
    if tensors is not None:
        settings["tensors"] = list(tensors.items()) if hasattr(tensors, "items") else list(tensors)
    if calibrate is not None and not isinstance(calibrate, bool):
        texts = [calibrate] if isinstance(calibrate, (str, os.PathLike)) else calibrate
        settings["texts"] = [os.fspath(t) for t in texts]
    settings = {key: value for key, value in settings.items() if value is not None}
    wanted = calibrate if calibrate is None or isinstance(calibrate, bool) else True

    def run(path, calibrated):
        return _core.compress(os.fspath(path), os.fspath(out), settings, calibrated, progress,
                              lambda text: warnings.warn(text, stacklevel=4))

    if isinstance(model, (str, os.PathLike)):
        return run(model, wanted)
    if "texts" in settings or calibrate is True:
        raise _core.UsageError("calibrate: expected a model on disk, found arrays")
    if resume:
        raise _core.UsageError("resume: expected a file, found arrays")
    named = model if hasattr(model, "items") else {"array": model}
    # Beside the output, where there is room for it, and not in /tmp, which is memory on many machines.
    with tempfile.TemporaryDirectory(prefix=".occ-", dir=os.path.dirname(os.path.abspath(os.fspath(out)))) as folder:
        path = os.path.join(folder, "arrays.safetensors")
        _safetensors.write(path, named)
        return run(path, False)


def _path(value):
    return None if value is None else os.fspath(value)
