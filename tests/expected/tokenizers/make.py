#!/usr/bin/env python3
"""Expected values of tokenizer_test.cc and unicode_test.cc, made with the `tokenizers` package (0.23.3) and xxhash.

usage: make.py DATA MINILM SMOLLM2 [NAME...]
  DATA     the test data folder
  MINILM   tokenizer.json of all-MiniLM-L6-v2
  SMOLLM2  GGUF of SmolLM2-135M-Instruct (needs the gguf package)
  NAME     only these small tokenizers, whose values replace those in expected.json (the models are not read then)
Needs sentencepiece for the map of characters. Writes expected.json and, so that every part of a pipeline is tested without data, small tokenizers trained on
wiki.valid.raw, beside this script."""
import json
import pathlib
import random
import sys
import tempfile
import unicodedata

import gguf
import numpy as np
import sentencepiece
import xxhash
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
DATA, MINILM, SMOLLM2 = (pathlib.Path(p) for p in sys.argv[1:4])
ONLY = sys.argv[4:]
N, P, D = normalizers, pre_tokenizers, decoders

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
ADDED = [AddedToken("<mask>", lstrip=True, special=True), AddedToken("<|a|>", rstrip=True, special=True),
         AddedToken("foo", single_word=True), AddedToken("<nb>", normalized=False)]


def train(name, model, trainer, normalizer=None, pre_tokenizer=None, decoder=None, processor=None, lines=2000):
    if ONLY and name not in ONLY:
        return
    t = Tokenizer(model)
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer, t.decoder = pre_tokenizer, decoder
    text = (DATA / "text/wiki.valid.raw").read_text(encoding="utf-8").split("\n")[:lines]
    t.train_from_iterator(text, trainer)
    t.add_tokens(ADDED)
    if processor:
        t.post_processor = processor
    (HERE / f"{name}.json").write_text(t.to_str(pretty=False) + "\n")


def byte_level(name, pre_tokenizer, normalizer=None, **options):
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=P.ByteLevel.alphabet(), show_progress=False)
    train(name, models.BPE(**options), trainer, normalizer, pre_tokenizer, D.ByteLevel(), processors.ByteLevel())


def make_tokenizers():
    raw_bytes = P.ByteLevel(add_prefix_space=False, use_regex=False)
    byte_level("llama3", P.Sequence([P.Split(Regex(LLAMA3), "isolated"), raw_bytes]), ignore_merges=True)
    byte_level("falcon", P.Sequence([P.Punctuation("contiguous"), P.ByteLevel(add_prefix_space=False), P.Digits(False),
                                     P.Split(Regex("[0-9][0-9][0-9]"), "isolated")]), N.NFC())
    byte_level("prefix", P.ByteLevel(add_prefix_space=True), N.Sequence([N.NFD(), N.Lowercase(), N.StripAccents()]))
    byte_level("splits", P.Sequence([P.WhitespaceSplit(), P.Split(",", "merged_with_previous"),
                                     P.Split(".", "merged_with_next"), P.CharDelimiterSplit("-"),
                                     P.Split(Regex(r"\w\d"), "contiguous"), P.Whitespace(), raw_bytes]),
               N.Sequence([N.Strip(), N.Replace(Regex(" {2,}"), " ")]))
    for scheme in ("first", "never"):
        fallback = scheme == "first"
        special = ["<unk>", "<s>"] + [f"<0x{b:02X}>" for b in range(256)] * fallback
        tail = [D.Strip(" ", 1, 0)] * fallback
        train("metaspace_" + scheme, models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=fallback),
              trainers.BpeTrainer(vocab_size=500 if fallback else 300, special_tokens=special, limit_alphabet=90,
                                  show_progress=False),
              None, P.Metaspace(prepend_scheme=scheme, split=fallback),
              D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse()] + tail),
              processors.TemplateProcessing(single="<s> $A <s>", special_tokens=[("<s>", 1)]), lines=300)
    for name, lowercase in (("bert_cased", False), ("bert_uncased", True)):
        train(name, models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20),
              trainers.WordPieceTrainer(vocab_size=800, special_tokens=["[UNK]", "[CLS]", "[SEP]"], limit_alphabet=150,
                                        show_progress=False),
              N.BertNormalizer(lowercase=lowercase), P.BertPreTokenizer(), D.WordPiece(cleanup=True),
              processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1)))
    make_unigrams()


def charsmap():
    """A map of characters as SentencePiece makes it, with a few rules."""
    with tempfile.TemporaryDirectory() as folder:
        rules = pathlib.Path(folder) / "rules.tsv"
        rules.write_text("FB01\t66 69\n41 300\tC0\n2026\t2E 2E 2E\nFF21\t41\n200B\t20\n3000\t20\n65 301\tE9\n", encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=DATA / "text/wiki.valid.raw", model_prefix=f"{folder}/m", vocab_size=1000, input_sentence_size=2000,
            normalization_rule_tsv=str(rules), character_coverage=0.98, minloglevel=2)
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(pathlib.Path(f"{folder}/m.model").read_bytes())
        return proto.normalizer_spec.precompiled_charsmap


def make_unigrams():
    if not ONLY or "unigram" in ONLY:
        train("unigram", models.Unigram(), trainers.UnigramTrainer(vocab_size=500, special_tokens=["<unk>", "<s>"], unk_token="<unk>",
                                                                   show_progress=False),
              N.Sequence([N.Precompiled(charsmap()), N.Replace(Regex(" {2,}"), " ")]),
              P.Sequence([P.WhitespaceSplit(), P.Metaspace()]), D.Metaspace(),
              processors.TemplateProcessing(single="<s> $A <s>", special_tokens=[("<s>", 1)]), lines=400)
    fallback = ["<unk>"] + [f"<0x{b:02X}>" for b in range(256)]
    train("unigram_bytes", models.Unigram(), trainers.UnigramTrainer(vocab_size=600, special_tokens=fallback, unk_token="<unk>",
                                                                     show_progress=False),
          N.Sequence([N.Nmt(), N.NFKC()]), P.Metaspace(split=False),
          D.Sequence([D.Replace("\u2581", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)]), lines=200)
    path = HERE / "unigram_bytes.json"
    text = json.loads(path.read_text())
    text["model"]["byte_fallback"] = True
    path.write_text(json.dumps(text, ensure_ascii=False, separators=(",", ":")) + "\n")
    train("word_level", models.WordLevel(unk_token="<unk>"),
          trainers.WordLevelTrainer(vocab_size=300, special_tokens=["<unk>"], show_progress=False), N.NFKD(),
          P.Sequence([P.Whitespace(), P.FixedLength(length=3)]), D.Fuse(), lines=300)


def byte_level_of_gguf(path, pre_tokenizer):
    fields = gguf.GGUFReader(path).fields
    tokens, types, merges = (fields["tokenizer.ggml." + k].contents() for k in ("tokens", "token_type", "merges"))
    t = Tokenizer(models.BPE({x: i for i, x in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges]))
    t.pre_tokenizer, t.decoder = pre_tokenizer, D.ByteLevel()
    t.add_special_tokens([AddedToken(x, normalized=False) for x, kind in zip(tokens, types) if kind == 3])
    return t


def hostile_texts():
    texts = [b"", b" ", b"\n", b"\r\n\r\n \t\x0b\x0c", b"\x00\x01\x7f", b"Hello, world!", b"  two  spaces  ", b" " * 70,
             b"a" * 300, b"3.14159 1000000 0x1F", b"don't I'LL we'Ve 'tis", b"\xff\xfeabc", b"\xc3(\xe2\x82", b"\xf0\x9f\x98",
             b"\xed\xa0\x80\xed\xb0\x80", b"\xc0\xaf\xf8\x88\x80\x80\x80", b"<s></s><|endoftext|><unk>", b"a<|im_start|>b <s> c",
             b"[CLS] x [SEP][MASK]", b"a <mask> b<mask>", b"a<|a|>  \n b", b"foo afoo foo1 (foo)", b"x<nb>y", b"##ing a##b"]
    texts += [s.encode() for s in
              ["👩‍👩‍👧‍👦🏳️‍🌈🇩🇪👍🏽", "e\u0301\u00e9 \u212b\u1e9b\u0323 q\u0307\u0323\u0323", "\u1112\u1161\u11ab\ud55c \u0958\u2adc",
               "日本語テキスト、中文。", "Straße İstanbul ΣΑΣ ſ Ǆ", "مرحبا नमस्ते ไทย", "\u00a0\u2003\u3000\u200b\u180e\ufeff\u0085x",
               "\u2581a \u2581\u2581 b", "½²٣Ⅷ৩", "a\u0300\u0316b\u034f\u0301", "\ufffd \ue000 \U000e0041 \U0010fffd",
               "don\u2019t \u201cquote\u201d \u2014 x\u2026"]]
    rng = random.Random(1)
    assigned = [c for c in range(1, 0x30000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
    for _ in range(30):
        parts = []
        for _ in range(rng.randrange(1, 10)):
            pool = rng.choice([assigned, assigned[:1500], range(32, 127), [32, 10, 13, 9, 0xa0]])
            parts.append("".join(chr(rng.choice(pool)) for _ in range(rng.randrange(1, 8))))
        texts.append("".join(parts).encode())
    return texts


def digest(ids):
    return {"count": len(ids), "xxh64": xxhash.xxh64(np.array(ids, dtype="<i4").tobytes()).hexdigest()}


def unicode_hashes():
    chars = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    bert = N.BertNormalizer(lowercase=True)
    kinds = {"nfc": N.NFC(), "nfd": N.NFD(), "nfkc": N.NFKC(), "nfkd": N.NFKD(), "nmt": N.Nmt(), "lower": N.Lowercase(), "strip_marks": N.StripAccents(), "bert": bert}
    hashes = {}
    for name, normalizer in kinds.items():
        # Every character before a mark below and after one above, so that order and composition matter.
        whole = "".join(normalizer.normalize_str("a\u0301" + c + "\u0323") + "\n" for c in chars)
        hashes[name] = xxhash.xxh64(whole.encode()).hexdigest()
    split = P.Punctuation()
    marked = bytes(len(split.pre_tokenize_str("a" + c)) == 2 for c in chars)
    hashes["punctuation"] = xxhash.xxh64(marked).hexdigest()
    return hashes


def add_models(tokenizers, digits):
    tokenizers["stories260k"] = Tokenizer.from_file(str(DATA / "models/stories260k/tokenizer.json"))
    tokenizers["gpt-neox"] = Tokenizer.from_file(str(DATA / "tokenizers/gpt-neox-20B_tokenizer.json"))
    tokenizers["gpt-2"] = byte_level_of_gguf(DATA / "tokenizers/ggml-vocab-gpt-2.gguf", P.ByteLevel(add_prefix_space=False))
    tokenizers["minilm"] = Tokenizer.from_file(str(MINILM))
    tokenizers["smollm2"] = byte_level_of_gguf(SMOLLM2, digits)


def main():
    make_tokenizers()
    digits = P.Sequence([P.Digits(individual_digits=True), P.ByteLevel(add_prefix_space=False)])
    tokenizers = {f.stem: Tokenizer.from_file(str(f)) for f in sorted(HERE.glob("*.json")) if f.stem != "expected"}
    if ONLY:
        tokenizers = {name: tokenizers[name] for name in ONLY}
    else:
        add_models(tokenizers, digits)
    texts = hostile_texts()
    wiki = (DATA / "text/wiki.test.raw").read_bytes().decode()
    result = {"unicode": unicode_hashes(), "texts": [t.hex() for t in texts], "tokenizers": {}}
    if ONLY:
        result["tokenizers"] = json.loads((HERE / "expected.json").read_text())["tokenizers"]
    for name, t in tokenizers.items():
        t.no_truncation()
        t.no_padding()
        decoded = [t.decode(t.encode(x.decode(errors="replace")).ids, skip_special_tokens=False) for x in texts]
        ids = [t.encode(x.decode(errors="replace")).ids for x in texts]
        t.encode_special_tokens = True
        plain = [t.encode(x.decode(errors="replace"), add_special_tokens=False).ids for x in texts]
        t.encode_special_tokens = False
        result["tokenizers"][name] = {"wiki": digest(t.encode(wiki).ids), "ids": ids, "decoded": decoded,
                                      "plain": {str(i): p for i, p in enumerate(plain) if p != ids[i]}}
    (HERE / "expected.json").write_text(json.dumps(result, separators=(",", ":")).replace('},"', '},\n"') + "\n")


main()
