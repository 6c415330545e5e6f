"""Writes GGUF files of a random model with the shapes of TinyLlama-1.1B, to measure speed: OUT-f16.gguf and OUT-q4_0.gguf.

  python benchmarks/llama_shape.py TOKENIZER.gguf OUT [LAYERS]

The tokenizer, with its vocabulary, is that of another GGUF. Weights are N(0, .02^2), seeded, so files of all runs are the same. Needs the
packages numpy and gguf.
"""
import sys

import gguf
import numpy as np
from gguf.quants import quantize

DIM, FEED_FORWARD, HEADS, KV_HEADS = 2048, 5632, 32, 4
Type = gguf.GGMLQuantizationType


def tensors(layers, vocabulary):
    """Names and shapes [rows, columns]; None for the vector of a norm."""
    yield "token_embd.weight", (vocabulary, DIM)
    for i in range(layers):
        for name, shape in [("attn_norm", None), ("attn_q", (DIM, DIM)), ("attn_k", (DIM * KV_HEADS // HEADS, DIM)),
                            ("attn_v", (DIM * KV_HEADS // HEADS, DIM)), ("attn_output", (DIM, DIM)), ("ffn_norm", None),
                            ("ffn_gate", (FEED_FORWARD, DIM)), ("ffn_up", (FEED_FORWARD, DIM)), ("ffn_down", (DIM, FEED_FORWARD))]:
            yield f"blk.{i}.{name}.weight", shape
    yield "output_norm.weight", None
    yield "output.weight", (vocabulary, DIM)


def write(path, fields, layers, vocabulary, matrix_type):
    out = gguf.GGUFWriter(path, "llama")
    out.add_block_count(layers)
    out.add_context_length(4096)
    out.add_embedding_length(DIM)
    out.add_feed_forward_length(FEED_FORWARD)
    out.add_head_count(HEADS)
    out.add_head_count_kv(KV_HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_freq_base(10000.0)
    out.add_rope_dimension_count(DIM // HEADS)
    for field in fields:
        kind = field.types[0]
        if kind == gguf.GGUFValueType.ARRAY:
            out.add_array(field.name, field.contents())
        else:
            out.add_key_value(field.name, field.contents(), kind)
    rng = np.random.default_rng(1)
    for name, shape in tensors(layers, vocabulary):
        if shape is None:
            out.add_tensor(name, np.ones(DIM, dtype=np.float32))
            continue
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
        if matrix_type == Type.F16:
            out.add_tensor(name, values.astype(np.float16))
        else:  # as llama-quantize does: more bits for the head
            kind = Type.Q8_0 if name == "output.weight" else matrix_type
            out.add_tensor(name, quantize(values, kind), raw_dtype=kind)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def main():
    donor, out = sys.argv[1:3]
    layers = int(sys.argv[3]) if len(sys.argv) > 3 else 22
    fields = [f for f in gguf.GGUFReader(donor).fields.values() if f.name.startswith("tokenizer.")]
    vocabulary = len(next(f for f in fields if f.name == "tokenizer.ggml.tokens").contents())
    write(f"{out}-f16.gguf", fields, layers, vocabulary, Type.F16)
    write(f"{out}-q4_0.gguf", fields, layers, vocabulary, Type.Q4_0)


if __name__ == "__main__":
    main()
