#!/usr/bin/env python3
"""Mixes two folders of the same model, input and compressed, tensor by tensor.

    parts.py INPUT CODED OUT {embedding | rest | lookup | head}

OUT is INPUT with that part of CODED: the table of embeddings, all but it, or, with the two uses of a tied table taken
apart, what tokens are looked up in or what gives the logits. Needs safetensors and numpy.
"""
import json
import os
import shutil
import sys

from safetensors.numpy import load_file, save_file

EMBEDDING = "model.embed_tokens.weight"


def main():
    source, coded, out, part = sys.argv[1:5]
    shutil.copytree(source, out, dirs_exist_ok=True)
    a, b = (load_file(os.path.join(folder, "model.safetensors")) for folder in (source, coded))
    mixed = {name: b[name] if (name == EMBEDDING) == (part == "embedding") else a[name] for name in a}
    if part in ("lookup", "head"):
        mixed = dict(a)
        mixed["lm_head.weight"] = a[EMBEDDING]
        mixed[EMBEDDING if part == "lookup" else "lm_head.weight"] = b[EMBEDDING]
        path = os.path.join(out, "config.json")
        with open(path) as f:
            config = json.load(f)
        with open(path, "w") as f:
            json.dump({**config, "tie_word_embeddings": False}, f)
    save_file(mixed, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})


if __name__ == "__main__":
    main()
