#!/usr/bin/env python3
"""Tiny random models of every supported architecture, as Hugging Face folders and GGUF, with the logits that
transformers gives for a prompt.

    pip install torch transformers gguf safetensors
    python make.py OUT

Every folder OUT/<name>/ has model.safetensors (bf16, exact for the model that was run in f32), and for each variant
<variant>.config.json and <variant>.expected.safetensors (tokens, rows: which tokens' logits are kept, logits; for BERT
tokens of all texts, lengths, embeddings), and perhaps <variant>.gguf with llama.cpp's names, order of rows and metadata.
Made with transformers 5.23.0, torch 2.15.0, gguf 0.19.0.
"""
import json
import os
import sys

import gguf
import numpy as np
import torch
import transformers as tr
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

VOCAB, TOKENS = 64, 80
ROWS = list(range(0, TOKENS, 8)) + [TOKENS - 1]


def randomize(model, seed):
    """Weights large enough that attention and norms matter; rounded to bf16."""
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        r = torch.randn(p.shape, generator=g)
        if "norm" in name.lower() or "ln_" in name:
            value = (1 if name.endswith("weight") else 0) + 0.2 * r
        elif p.dim() == 1:
            value = 0.3 * r
        elif "emb" in name or "wte" in name or "wpe" in name:
            value = 0.8 * r
        else:
            value = 1.2 * r / p.shape[1] ** 0.5
        p.data = value.bfloat16().float()


def save_weights(model, folder):
    os.makedirs(folder, exist_ok=True)
    model.save_pretrained(folder)
    os.remove(os.path.join(folder, "config.json"))
    for extra in ("generation_config.json",):
        if os.path.exists(os.path.join(folder, extra)):
            os.remove(os.path.join(folder, extra))
    from safetensors.torch import load_file
    path = os.path.join(folder, "model.safetensors")
    save_torch({k: v.bfloat16().contiguous() for k, v in load_file(path).items()}, path)


def save_config(config, path, old_style):
    """As transformers 5 writes it, or with rope_theta and rope_scaling as before."""
    d = json.loads(config.to_json_string(use_diff=False))
    keep = {k: v for k, v in d.items() if not k.startswith(("_", "transformers_version"))}
    rope = keep.get("rope_parameters")
    if old_style and rope:
        del keep["rope_parameters"]
        keep["rotary_emb_base" if config.model_type == "gpt_neox" else "rope_theta"] = rope.pop("rope_theta")
        partial = rope.pop("partial_rotary_factor", None)
        if partial is not None:
            keep["rotary_pct" if config.model_type == "gpt_neox" else "partial_rotary_factor"] = partial
        keep["rope_scaling"] = rope if rope.get("rope_type", "default") != "default" else None
    with open(path, "w") as f:
        json.dump(keep, f, indent=1)


def causal(out, name, config_class, model_class, seed, variants, **base):
    """variants: name -> (changes of the config, old_style, how to write a GGUF or None)."""
    folder = os.path.join(out, name)
    weights = None
    for variant, (changes, old_style, to_gguf) in variants.items():
        config = config_class(vocab_size=VOCAB, bos_token_id=1, eos_token_id=2, pad_token_id=0, **{**base, **changes})
        config._attn_implementation = "eager"
        config.architectures = [model_class.__name__]
        model = model_class(config).eval()
        if weights is None:
            randomize(model, seed)
            weights = model.state_dict()
            save_weights(model, folder)
        else:
            model.load_state_dict(weights)
        model.tie_weights()
        save_config(config, os.path.join(folder, variant + ".config.json"), old_style)
        g = torch.Generator().manual_seed(seed + 1)
        tokens = torch.randint(0, VOCAB, (1, TOKENS), generator=g)
        with torch.no_grad():
            logits = model(tokens).logits[0, ROWS]
        print(name, variant, "logits", float(logits.std()))
        save_file({"tokens": tokens[0].numpy().astype(np.int32), "rows": np.array(ROWS, np.int32),
                   "logits": logits.numpy()}, os.path.join(folder, variant + ".expected.safetensors"))
        if to_gguf:
            to_gguf(model, config, os.path.join(folder, variant + ".gguf"))


BERT = (("embeddings.word_embeddings", "token_embd"), ("embeddings.LayerNorm", "token_embd_norm"), ("emb_ln", "token_embd_norm"),
        ("embeddings.position_embeddings", "position_embd"), ("embeddings.token_type_embeddings", "token_types"),
        ("encoder.layers.", "blk."), ("encoder.layer.", "blk."), ("attention.self.query", "attn_q"),
        ("attention.self.key", "attn_k"), ("attention.self.value", "attn_v"),
        ("attention.output.dense", "attn_output"), ("attention.output.LayerNorm", "attn_output_norm"),
        ("intermediate.dense", "ffn_up"), (".output.dense", ".ffn_down"), (".output.LayerNorm", ".layer_output_norm"),
        ("attn.Wqkv", "attn_qkv"), ("attn.out_proj", "attn_output"), ("mlp.fc11", "ffn_up"), ("mlp.fc12", "ffn_gate"),
        ("mlp.fc2", "ffn_down"), (".norm1", ".attn_output_norm"), (".norm2", ".layer_output_norm"))


def encoder(out, name, model, seed, arch, offset=0, write_config=None):
    """An encoder whose embeddings are the means of the last hidden states. Rows of positions before `offset` are not used,
    and GGUF does not have them."""
    folder, config = os.path.join(out, name), model.config
    config._attn_implementation = "eager"
    config.architectures = [type(model).__name__]
    randomize(model.eval(), seed)
    save_weights(model, folder)
    save_config(config, os.path.join(folder, "plain.config.json"), False)
    if write_config:
        with open(os.path.join(folder, "original.config.json"), "w") as f:
            json.dump(write_config(config), f, indent=1)
    g = torch.Generator().manual_seed(seed + 1)
    texts = [torch.randint(offset, VOCAB, (n,), generator=g) for n in (1, 5, 70, 96)]
    with torch.no_grad():
        rows = [model(t[None]).last_hidden_state[0].mean(0) for t in texts]
    save_file({"tokens": torch.cat(texts).numpy().astype(np.int32),
               "lengths": np.array([len(t) for t in texts], np.int32),
               "embeddings": torch.stack(rows).numpy()}, os.path.join(folder, "plain.expected.safetensors"))
    w = writer(os.path.join(folder, "plain.gguf"), arch, config, 2, 2)
    w.add_layer_norm_eps(config.layer_norm_eps)
    w.add_causal_attention(False)
    w.add_pooling_type(gguf.PoolingType.MEAN)
    if getattr(config, "rope_parameters", None):
        w.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    from safetensors.torch import load_file
    tensors = {}
    for key, t in load_file(os.path.join(folder, "model.safetensors")).items():
        for a, b in BERT:
            key = key.replace(a, b, 1)
        tensors[key] = t[offset:] if key == "position_embd.weight" else t
    w.add_context_length(config.max_position_embeddings - offset)
    finish(w, tensors)


def nomic_config(c):
    """As nomic-ai writes it, for its own code."""
    return {"architectures": ["NomicBertModel"], "model_type": "nomic_bert", "vocab_size": c.vocab_size,
            "n_embd": c.hidden_size, "n_head": c.num_attention_heads, "n_layer": c.num_hidden_layers,
            "n_inner": c.intermediate_size, "n_positions": c.max_position_embeddings, "activation_function": "swiglu",
            "layer_norm_epsilon": c.layer_norm_eps, "prenorm": False, "causal": False, "qkv_proj_bias": False,
            "mlp_fc1_bias": False, "mlp_fc2_bias": False, "rotary_emb_base": c.rope_parameters["rope_theta"],
            "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": False, "rotary_scaling_factor": None,
            "type_vocab_size": c.type_vocab_size}


# ---- GGUF as llama.cpp's converters write it

def writer(path, arch, c, heads, kv_heads):
    w = gguf.GGUFWriter(path, arch)
    w.add_block_count(2)
    if not hasattr(c, "type_vocab_size"):  # encoders may have fewer positions than rows
        w.add_context_length(getattr(c, "n_positions", None) or c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(getattr(c, "intermediate_size", None) or 4 * c.hidden_size)
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    return w


def finish(w, tensors):
    for name, t in tensors.items():
        a = t.float().numpy()
        if a.ndim == 1:
            w.add_tensor(name, a)
        else:
            kind = gguf.GGMLQuantizationType.BF16
            w.add_tensor(name, gguf.quants.quantize(a, kind), raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def permute(t, heads):
    """Rows of q or k from half-split rotary order to adjacent pairs (llama.cpp, LlamaModel.permute)."""
    return t.reshape(heads, 2, t.shape[0] // heads // 2, *t.shape[1:]).swapaxes(1, 2).reshape(t.shape)


LLAMA = (("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output"),
         ("model.layers.", "blk."), ("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm"),
         ("self_attn.qkv_proj", "attn_qkv"), ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"),
         ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"), ("self_attn.q_norm", "attn_q_norm"),
         ("self_attn.k_norm", "attn_k_norm"), ("mlp.gate_up_proj", "ffn_up"), ("mlp.gate_proj", "ffn_gate"),
         ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"))
NEOX = (("gpt_neox.embed_in", "token_embd"), ("gpt_neox.final_layer_norm", "output_norm"), ("lm_head", "output"),
        ("gpt_neox.layers.", "blk."), ("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm"),
        ("attention.query_key_value", "attn_qkv"), ("attention.dense", "attn_output"),
        ("mlp.dense_h_to_4h", "ffn_up"), ("mlp.dense_4h_to_h", "ffn_down"))
GPT2 = (("transformer.wte", "token_embd"), ("transformer.wpe", "position_embd"), ("transformer.ln_f", "output_norm"),
        ("transformer.h.", "blk."), ("ln_1", "attn_norm"), ("ln_2", "ffn_norm"), ("attn.c_attn", "attn_qkv"),
        ("attn.c_proj", "attn_output"), ("mlp.c_fc", "ffn_up"), ("mlp.c_proj", "ffn_down"))


def renamed(model, table):
    out = {}
    for name, t in model.state_dict().items():
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        for a, b in table:
            name = name.replace(a, b, 1)
        out[name] = t
    return out


def rope_keys(w, c, dim):
    r = c.rope_parameters
    w.add_rope_freq_base(float(r["rope_theta"]))
    w.add_rope_dimension_count(dim)
    if r["rope_type"] == "linear":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(r["factor"])
    if r["rope_type"] == "yarn":
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        w.add_rope_scaling_factor(r["factor"])
        w.add_rope_scaling_orig_ctx_len(r["original_max_position_embeddings"])


def llama_like(arch, permuted=False):
    def to_gguf(model, c, path):
        w = writer(path, arch, c, c.num_attention_heads, c.num_key_value_heads)
        w.add_layer_norm_rms_eps(c.rms_norm_eps)
        head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
        w.add_key_length(head_dim)
        w.add_value_length(head_dim)
        rope_keys(w, c, head_dim)
        tensors = renamed(model, LLAMA)
        for name in tensors if permuted else ():
            if ".attn_q." in name:
                tensors[name] = permute(tensors[name], c.num_attention_heads)
            if ".attn_k." in name:
                tensors[name] = permute(tensors[name], c.num_key_value_heads)
        r = c.rope_parameters
        if r["rope_type"] == "llama3":
            from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
            scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](c)
            plain = 1.0 / (r["rope_theta"] ** (torch.arange(0, head_dim, 2).float() / head_dim))
            tensors["rope_freqs.weight"] = plain / scaled
        if r["rope_type"] == "longrope":
            w.add_rope_scaling_orig_ctx_len(r["original_max_position_embeddings"])
            scale = c.max_position_embeddings / r["original_max_position_embeddings"]
            w.add_rope_scaling_attn_factors(
                float(np.sqrt(1 + np.log(scale) / np.log(r["original_max_position_embeddings"]))))
            tensors["rope_factors_long.weight"] = torch.tensor(r["long_factor"])
            tensors["rope_factors_short.weight"] = torch.tensor(r["short_factor"])
        finish(w, tensors)
    return to_gguf


def gpt_neox(model, c, path):
    w = writer(path, "gptneox", c, c.num_attention_heads, c.num_attention_heads)
    head_dim = c.hidden_size // c.num_attention_heads
    rope_keys(w, c, int(head_dim * c.rope_parameters["partial_rotary_factor"]))
    w.add_parallel_residual(c.use_parallel_residual)
    w.add_layer_norm_eps(c.layer_norm_eps)
    tensors = renamed(model, NEOX)
    for name, t in tensors.items():
        if "attn_qkv" in name:
            rest = t.shape[1:]
            tensors[name] = t.reshape(c.num_attention_heads, 3, head_dim, *rest).swapaxes(0, 1).reshape(-1, *rest)
    finish(w, tensors)


def gpt2(model, c, path):
    w = writer(path, "gpt2", c, c.n_head, c.n_head)
    w.add_layer_norm_eps(c.layer_norm_epsilon)
    tensors = renamed(model, GPT2)
    finish(w, {n: t.T.contiguous() if "blk." in n and t.dim() == 2 else t for n, t in tensors.items()})


def main(out):
    torch.set_num_threads(1)
    small = dict(hidden_size=32, intermediate_size=52, num_hidden_layers=2, max_position_embeddings=128)
    heads = dict(num_attention_heads=4, num_key_value_heads=2)
    rope = dict(rope_theta=10000.0)
    llama = llama_like("llama", permuted=True)
    causal(out, "llama", tr.LlamaConfig, tr.LlamaForCausalLM, 1, {
        "plain": (dict(rope_parameters=dict(rope_type="default", **rope)), True, llama),
        "linear": (dict(rope_parameters=dict(rope_type="linear", factor=2.5, **rope)), True, None),
        "llama3": (dict(rope_parameters=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                             original_max_position_embeddings=32, **rope)), False, llama),
        "yarn": (dict(rope_parameters=dict(rope_type="yarn", factor=4.0, beta_fast=3.0, beta_slow=0.5,
                                           original_max_position_embeddings=32, **rope)), False, None),
        "yarn-default": (dict(rope_parameters=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32,
                                                   **rope)), True, llama),
    }, head_dim=16, **small, **heads)
    causal(out, "llama-bias", tr.LlamaConfig, tr.LlamaForCausalLM, 2, {"plain": ({}, False, None)},
           attention_bias=True, mlp_bias=True, tie_word_embeddings=True, hidden_act="gelu_pytorch_tanh",
           **small, **heads)
    causal(out, "mistral", tr.MistralConfig, tr.MistralForCausalLM, 3, {
        "window": (dict(sliding_window=24), True, None), "plain": (dict(sliding_window=None), True, None)},
        **small, **heads)
    causal(out, "qwen2", tr.Qwen2Config, tr.Qwen2ForCausalLM, 4, {
        "plain": ({}, True, llama_like("qwen2")),
        "window": (dict(use_sliding_window=True, sliding_window=20, max_window_layers=1), True, None)},
        tie_word_embeddings=True, **small, **heads)
    causal(out, "qwen3", tr.Qwen3Config, tr.Qwen3ForCausalLM, 5, {"plain": ({}, False, llama_like("qwen3"))},
           head_dim=24, num_attention_heads=2, num_key_value_heads=1, **small)
    causal(out, "gpt2", tr.GPT2Config, tr.GPT2LMHeadModel, 6, {"plain": ({}, False, gpt2)},
           n_embd=32, n_layer=2, n_head=2, n_positions=128)
    neox = dict(num_attention_heads=2, **small)
    causal(out, "gptneox", tr.GPTNeoXConfig, tr.GPTNeoXForCausalLM, 7, {
        "plain": (dict(rope_parameters=dict(rope_type="default", partial_rotary_factor=0.25, **rope)), True, gpt_neox),
        "sequential": (dict(use_parallel_residual=False), False, None)}, **neox)
    factors = dict(short_factor=[1.0 + 0.1 * i for i in range(4)], long_factor=[2.0 + 0.7 * i for i in range(4)])
    causal(out, "phi3", tr.Phi3Config, tr.Phi3ForCausalLM, 8, {
        "plain": ({}, True, None),
        "long": (dict(original_max_position_embeddings=32, rope_parameters=dict(
            rope_type="longrope", **factors, **rope)), True, llama_like("phi3")),
        "short": (dict(original_max_position_embeddings=100, max_position_embeddings=400, rope_parameters=dict(
            rope_type="longrope", **factors, **rope)), False, None)}, **{**small, **heads})
    bert = dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=52)
    encoder(out, "bert", tr.BertModel(tr.BertConfig(max_position_embeddings=96, **bert), add_pooling_layer=False), 9, "bert")
    encoder(out, "roberta", tr.XLMRobertaModel(tr.XLMRobertaConfig(
        max_position_embeddings=98, type_vocab_size=1, pad_token_id=1, **bert), add_pooling_layer=False), 12, "bert", 2)
    encoder(out, "nomicbert", tr.NomicBertModel(tr.NomicBertConfig(max_position_embeddings=96, **bert)), 13,
            "nomic-bert", 0, nomic_config)
    causal(out, "mixtral", tr.MixtralConfig, tr.MixtralForCausalLM, 10, {"plain": ({}, False, None)},
           num_local_experts=4, num_experts_per_tok=2, **small, **heads)
    experts = dict(num_experts=6, num_experts_per_tok=3, moe_intermediate_size=20, head_dim=16)
    causal(out, "qwen3moe", tr.Qwen3MoeConfig, tr.Qwen3MoeForCausalLM, 11, {
        "plain": (dict(norm_topk_prob=True), False, None), "raw": (dict(norm_topk_prob=False), True, None)},
        **experts, **{**small, **heads})


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__)))
