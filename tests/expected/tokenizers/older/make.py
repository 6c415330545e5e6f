#!/usr/bin/env python3
"""Tokenizers of folders without tokenizer.json, and the ids that sentencepiece and transformers give, for
older_files_test.cc.

usage: make.py DATA    (the test data folder)

Writes beside itself FOLDER/..., small tokenizers trained on wiki.valid.raw, and expected.json: the texts, and for each
folder the ids with what is put around a text. Made with sentencepiece 0.2.3, transformers 5.24.0, tokenizers 0.23.3.
"""
import io
import json
import pathlib
import re
import sys
import tempfile

import sentencepiece
import transformers
from tokenizers import ByteLevelBPETokenizer, BertWordPieceTokenizer

HERE = pathlib.Path(__file__).parent
LINES = (pathlib.Path(sys.argv[1]) / "text/wiki.valid.raw").read_text(encoding="utf-8").split("\n")[:1500]
TEXTS = ["", "Hello, World!", "  two  spaces and more   ", "The history of the world\nis told\tin 1984.", "naïve café ﬁne ①②",
         "日本語 と 中文", "ＡＢＣ １２３", "a\u00a0b\u3000c", "x = [1, 2];  // don't", "\u2581meta\u2581space", "🙂 emoji 👩‍🚀",
         "é e\u0301 Å A\u030a", "ΣΑΣ σας", "\r\n\r\n", "<s> and </s> are <unk>", "can't we'll I'M", "12345 67,890.12"]


def sentencepiece_model(folder, file, **options):
    target = HERE / folder
    target.mkdir(exist_ok=True)
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_writer=out, minloglevel=2,
                                             num_threads=1, **options)
    (target / file).write_bytes(out.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())


# Characters of other widths, ligatures, spaces, compositions; the longest of several beginnings counts.
RULES = {"\ufb01": "fi", "\u2460": "1", "\u2461": "2", "\u00a0": " ", "\u3000": " ", "\r": " ", "\n": " ", "\t": " ",
         "e\u0301": "\u00e9", "A\u030a": "\u00c5", "\u200d": "", "\uff21": "A", "\uff22": "B", "\uff23": "C",
         "\uff21\uff22": "Ab", **{chr(0xff10 + i): str(i) for i in range(10)}}


def main():
    ids = {}
    rules = tempfile.NamedTemporaryFile("w", suffix=".tsv").name
    pathlib.Path(rules).write_text("".join(
        f"{' '.join('%X' % ord(c) for c in a)}\t{' '.join('%X' % ord(c) for c in b)}\n" for a, b in RULES.items()))
    # Texts are encoded between the strings of special tokens, which sentencepiece itself does not look for.
    def encode(sp, text, special):
        out = []
        for part in re.split("(" + "|".join(map(re.escape, special)) + ")", text):
            out += [special[part]] if part in special else sp.encode(part)
        return out

    llama = sentencepiece_model("bpe", "tokenizer.model", vocab_size=700, model_type="bpe", byte_fallback=True,
                                normalization_rule_name="identity", remove_extra_whitespaces=False,
                                character_coverage=0.99, user_defined_symbols=["wo"])
    specials = {"<unk>": 0, "<s>": 1, "</s>": 2}
    ids["bpe"] = [[1] + encode(llama, t, specials) for t in TEXTS]
    (HERE / "bpe/tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer"}))
    mapped = sentencepiece_model("bpe_map", "tokenizer.model", vocab_size=400, model_type="bpe", hard_vocab_limit=False,
                               character_coverage=0.98, normalization_rule_tsv=rules)
    (HERE / "bpe_map/tokenizer_config.json").write_text(json.dumps({"add_bos_token": False, "add_eos_token": True}))
    ids["bpe_map"] = [encode(mapped, t, specials) + [2] for t in TEXTS]
    t5 = sentencepiece_model("unigram", "spiece.model", vocab_size=400, model_type="unigram", hard_vocab_limit=False,
                             character_coverage=0.98, normalization_rule_tsv=rules, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    ids["unigram"] = [encode(t5, t, {"</s>": 1, "<unk>": 2, "<pad>": 0}) + [1] for t in TEXTS]
    xlmr = sentencepiece_model("fairseq", "sentencepiece.bpe.model", vocab_size=300, model_type="unigram",
                               hard_vocab_limit=False, character_coverage=0.98, normalization_rule_tsv=rules)
    ids["fairseq"] = []
    for t in TEXTS:
        found = encode(xlmr, t, {"<s>": -1, "</s>": -2, "<unk>": -3})
        ids["fairseq"].append([0] + [{-1: 0, -2: 2, -3: 3}.get(i, 3 if i == 0 else i + 1) for i in found] + [2])

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(LINES, vocab_size=500, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
                            show_progress=False)
    for folder, config, cls in (
            ("gpt2", {"tokenizer_class": "GPT2Tokenizer", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
             transformers.GPT2Tokenizer),
            ("roberta", {"tokenizer_class": "RobertaTokenizer"}, transformers.RobertaTokenizer),
            ("qwen2", {"tokenizer_class": "Qwen2Tokenizer", "unk_token": "<unk>", "eos_token": "</s>",
                       "pad_token": "<pad>"}, transformers.Qwen2Tokenizer)):
        (HERE / folder).mkdir(exist_ok=True)
        bpe.save_model(str(HERE / folder))
        (HERE / folder / "tokenizer_config.json").write_text(json.dumps(config))
        model = cls.from_pretrained(str(HERE / folder))
        ids[folder] = [model(t)["input_ids"] for t in TEXTS]
    words = BertWordPieceTokenizer(lowercase=True)
    words.train_from_iterator(LINES, vocab_size=500, show_progress=False, limit_alphabet=100)
    for folder, config, cls in (("bert", {"do_lower_case": True}, transformers.BertTokenizer),
                                ("bert_cased", {"do_lower_case": False, "strip_accents": False},
                                 transformers.BertTokenizer)):
        (HERE / folder).mkdir(exist_ok=True)
        words.save_model(str(HERE / folder))
        (HERE / folder / "tokenizer_config.json").write_text(json.dumps({**config, "tokenizer_class": "BertTokenizer"}))
        model = cls.from_pretrained(str(HERE / folder))
        ids[folder] = [model(t)["input_ids"] for t in TEXTS]
    (HERE / "expected.json").write_text(json.dumps({"texts": TEXTS, "ids": ids}) + "\n")


if __name__ == "__main__":
    main()
