#!/usr/bin/env python3
"""Vectors of texts as sentence-transformers makes them, for embed_test.cc and embed_test.sh.

    pip install torch transformers sentence-transformers safetensors
    python make.py

Writes beside itself cases.json: `tokenizer` (of all cases), `texts`, and `cases`, each with the name of a tiny model
(../models), the side files that say how it pools, the prompt, and the vectors; and modules.safetensors, the weights of
all modules by FOLDER/NAME. Made with sentence-transformers 6.2.0, transformers 5.24.0, torch 2.15.0.
"""
import json
import pathlib
import shutil
import tempfile

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from sentence_transformers import SentenceTransformer

HERE = pathlib.Path(__file__).parent
MODELS = HERE.parent / "models"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "query", "passage", ":", "a", "the", "cat", "dog", "sits", "runs", "here",
         "there", ",", ".", "##s", "##ed", "##ing"]
WORDS += [f"w{i}" for i in range(64 - len(WORDS))]
TOKENIZER = {
    "version": "1.0", "truncation": None, "padding": None,
    "added_tokens": [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False,
                      "normalized": False, "special": True} for i, t in enumerate(WORDS[:4])],
    "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                   "lowercase": False},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
              "max_input_chars_per_word": 100, "vocab": {t: i for i, t in enumerate(WORDS)}}}
TEXTS = ["the cat sits here .", "a dog", "", "The CAT runs [SEP] there, w7 w8 w9", "w1 " * 40 + "cats"]


def modules(*more):
    """The text of modules.json: a transformer, a pooling, and `more` as (folder, type)."""
    all_modules = [("", "models.Transformer"), ("1_Pooling", "models.Pooling"), *more]
    return [{"idx": i, "name": str(i), "path": path, "type": "sentence_transformers." + kind}
            for i, (path, kind) in enumerate(all_modules)]


def old_pooling(mode, **more):
    modes = ["cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
    return {"word_embedding_dimension": 32, **{"pooling_mode_" + m: m == mode for m in modes}, **more}


def dense(inputs, outputs, activation, bias=True, **more):
    return {"in_features": inputs, "out_features": outputs, "bias": bias,
            "activation_function": "torch.nn.modules." + activation, **more}


DENSE, NORMALIZE = "models.Dense", "models.Normalize"
PROMPTS = {"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": None}
CASES = [
    {"name": "mean", "model": "bert", "files": {}},
    {"name": "cls", "model": "bert", "normalize": True, "files": {
        "modules.json": modules(), "1_Pooling/config.json": old_pooling("cls_token"),
        "sentence_bert_config.json": {"max_seq_length": 20, "do_lower_case": True}}},
    {"name": "max", "model": "bert", "files": {
        "modules.json": modules(("2_Normalize", NORMALIZE)), "1_Pooling/config.json": old_pooling("max_tokens"),
        "tokenizer_config.json": {"model_max_length": 12}}},
    {"name": "sqrt", "model": "bert", "prompt_name": "query", "files": {
        "modules.json": modules(("2_Dense", DENSE), ("3_LayerNorm", "models.LayerNorm"), ("4_Dense", DENSE)),
        "1_Pooling/config.json": old_pooling("mean_sqrt_len_tokens"),
        "2_Dense/config.json": dense(32, 24, "activation.Tanh", use_residual=True),
        "3_LayerNorm/config.json": {"dimension": 24},
        "4_Dense/config.json": dense(24, 24, "linear.Identity", bias=False, use_residual=True),
        "config_sentence_transformers.json": PROMPTS}},
    {"name": "weighted", "model": "bert", "files": {
        "modules.json": modules(), "1_Pooling/config.json": {"embedding_dimension": 32, "pooling_mode": "weightedmean"},
        "config_sentence_transformers.json": {**PROMPTS, "default_prompt_name": "passage"}}},
    {"name": "without_prompt", "model": "bert", "prompt": "query w5 : ", "files": {
        "modules.json": modules(), "1_Pooling/config.json": old_pooling("mean_tokens", include_prompt=False)}},
    {"name": "last", "model": "qwen3", "prompt_name": "query", "files": {
        "modules.json": modules(("2_Normalize", NORMALIZE)), "1_Pooling/config.json": old_pooling("lasttoken"),
        "sentence_bert_config.json": {"max_seq_length": 30}, "config_sentence_transformers.json": PROMPTS}},
    {"name": "causal", "model": "qwen3", "files": {}},
]


def main():
    rng = np.random.default_rng(1)
    weights = {}
    for name, rows in (("2_Dense/linear", 24), ("2_Dense/residual", 24), ("4_Dense/linear", 24)):
        weights[name + ".weight"] = (0.3 * rng.normal(size=(rows, 32 if name[0] == "2" else 24))).astype(np.float32)
    weights["2_Dense/linear.bias"] = (0.3 * rng.normal(size=24)).astype(np.float32)
    weights["3_LayerNorm/norm.weight"] = (1 + 0.3 * rng.normal(size=24)).astype(np.float32)
    weights["3_LayerNorm/norm.bias"] = (0.3 * rng.normal(size=24)).astype(np.float32)
    save_file(weights, HERE / "modules.safetensors")
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            shutil.copy(MODELS / case["model"] / "model.safetensors", folder)
            config = json.loads((MODELS / case["model"] / "plain.config.json").read_text())
            (folder / "config.json").write_text(json.dumps({**config, "dtype": "float32"}))
            (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))
            settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]",
                        "cls_token": "[CLS]", "sep_token": "[SEP]"}
            (folder / "tokenizer_config.json").write_text(json.dumps(settings))
            for name, content in case["files"].items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(json.dumps({**settings, **content} if name == "tokenizer_config.json"
                                                      else content))
                module = name.split("/")[0] + "/"
                own = {k[len(module):]: v for k, v in weights.items() if k.startswith(module)}
                if own and "/" in name:
                    save_file(own, folder / module / "model.safetensors")
            model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
            vectors = model.encode(TEXTS, prompt=case.get("prompt"), prompt_name=case.get("prompt_name"),
                                   normalize_embeddings=case.get("normalize", False), batch_size=1)
            case["vectors"] = [[float(f"{v:.8g}") for v in row] for row in vectors]
            print(case["name"], vectors.shape, np.abs(vectors).max())
    (HERE / "cases.json").write_text(json.dumps({"tokenizer": TOKENIZER, "texts": TEXTS, "cases": CASES}) + "\n")


if __name__ == "__main__":
    main()
