"""What runs as the program `occ` of the package, in a process of its own, and returns its JSON (docs/reference/json.md)."""

from __future__ import annotations

import json
import os
import subprocess
import typing

from . import _core

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "occ")


def run(*arguments):
    """Runs the command and returns what it prints. Its error line becomes an exception; Ctrl-C ends both."""
    with subprocess.Popen([PROGRAM, *map(os.fspath, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        try:
            out, err = process.communicate()
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        kind = {2: _core.UsageError, 3: _core.InputError}.get(process.returncode, _core.FailedError)
        raise kind(lines[-1][len("error: "):] if lines else f"occ ended with status {process.returncode}")
    return out


def _options(**values):
    out = []
    for name, value in values.items():
        option = "--" + name.replace("_", "-")
        if value is None or value is False:
            continue
        for one in value if isinstance(value, (list, tuple)) else [value]:
            out += [option] if one is True else [option, one if isinstance(one, (str, os.PathLike)) else str(one)]
    return out


_Path = typing.Union[str, "os.PathLike[str]"]


def evaluate(model: _Path, *, text: _Path | None = None, reference: _Path | None = None,
             tasks: _Path | typing.Sequence[_Path] | None = None, pairs: _Path | None = None,
             probe: tuple[_Path, _Path] | None = None, context: int | None = None, max_tokens: int | None = None,
             limit: int | None = None, arithmetic: str | None = None,
             threads: int | None = None) -> dict[str, typing.Any]:
    """Perplexity, KL divergence from `reference` and accuracy on tasks of a language model; for encoders similarities
    of pairs and a probe. The arguments are those of `occ evaluate`, paths and numbers; tasks may be a list, probe is
    (train, test). Returns a dict with the keys of `occ evaluate --json`."""
    both = None if probe is None else ",".join(os.fspath(p) for p in probe)
    return json.loads(run("evaluate", model, "--json", *_options(
        text=text, reference=reference, task=tasks, pairs=pairs, probe=both, context=context, max_tokens=max_tokens,
        limit=limit, arithmetic=arithmetic, threads=threads)))


def inspect(path: _Path, *, limits: bool = False) -> dict[str, typing.Any]:
    """What a file consists of, as `occ inspect --json`; limits: also how far coded tensors are from the limit."""
    return json.loads(run("inspect", path, "--json", *_options(limits=limits)))


def methods() -> dict[str, typing.Any]:
    """The presets and stages, with their parameters, as `occ methods --json`."""
    return json.loads(run("methods", "--json"))
