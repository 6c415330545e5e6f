#!/usr/bin/env python3
"""Tiny random models of every supported architecture, as Hugging Face folders and GGUF, with the logits that
transformers gives for a prompt.

    pip install torch transformers gguf safetensors
    python make.py OUT [NAME ...]           # only these models

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
from safetensors.torch import load_file
from safetensors.torch import save_file as save_torch

from to_gguf import finish, gpt2, gpt_neox, llama_like, writer

VOCAB, TOKENS = 64, 80
ONLY = sys.argv[2:]
ROWS = list(range(0, TOKENS, 8)) + [TOKENS - 1]


def randomize(model, seed):
    """Weights large enough that attention and norms matter; rounded to bf16."""
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        r = torch.randn(p.shape, generator=g)
        if "norm" in name.lower() or "ln_" in name:
            # Gemma's factors are 1 + weight.
            one = 1 if name.endswith("weight") and "gemma" not in model.config.model_type else 0
            value = one + 0.2 * r
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
    path = os.path.join(folder, "model.safetensors")
    save_torch({k: v.bfloat16().contiguous() for k, v in load_file(path).items()}, path)


def save_config(config, path, old_style):
    """As transformers 5 writes it, or with rope_theta and rope_scaling as before."""
    d = json.loads(config.to_json_string(use_diff=False))
    keep = {k: v for k, v in d.items() if not k.startswith(("_", "transformers_version"))}
    rope = keep.get("rope_parameters")
    if old_style and rope:
        del keep["rope_parameters"]
        rope = {**rope.pop("full_attention"), **rope} if "full_attention" in rope else rope
        keep["rotary_emb_base" if config.model_type == "gpt_neox" else "rope_theta"] = rope.pop("rope_theta")
        partial = rope.pop("partial_rotary_factor", None)
        if partial is not None:
            keep["rotary_pct" if config.model_type == "gpt_neox" else "partial_rotary_factor"] = partial
        local = rope.pop("sliding_attention", None)
        if local:  # Gemma 3: one object for every type of layer
            keep["rope_local_base_freq"] = local["rope_theta"]
        keep["rope_scaling"] = rope if rope.get("rope_type", "default") != "default" else None
    with open(path, "w") as f:
        json.dump(keep, f, indent=1)


def causal(out, name, config_class, model_class, seed, variants, **base):
    """variants: name -> (changes of the config, old_style, how to write a GGUF or None)."""
    folder = os.path.join(out, name)
    if ONLY and name not in ONLY:
        return
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
        expect(model, seed, folder, name, variant)
        if to_gguf:
            to_gguf(model, config, os.path.join(folder, variant + ".gguf"))


def tower(out, name, config, model_class, seed, names=None):
    """A model of images and text, run on text alone. names: (old, new) part of the names."""
    if ONLY and name not in ONLY:
        return
    folder = os.path.join(out, name)
    config._attn_implementation = "eager"
    config.architectures = [model_class.__name__]
    model = model_class(config).eval()
    randomize(model, seed)
    save_weights(model, folder)
    if names:
        path = os.path.join(folder, "model.safetensors")
        save_torch({k.replace(*names): v for k, v in load_file(path).items()}, path)
    model.tie_weights()
    save_config(config, os.path.join(folder, "plain.config.json"), False)
    expect(model, seed, folder, name, "plain")


def expect(model, seed, folder, name, variant):
    g = torch.Generator().manual_seed(seed + 1)
    tokens = torch.randint(0, VOCAB, (1, TOKENS), generator=g)
    with torch.no_grad():
        logits = model(tokens).logits[0, ROWS]
    print(name, variant, "logits", float(logits.std()))
    save_file({"tokens": tokens[0].numpy().astype(np.int32), "rows": np.array(ROWS, np.int32),
               "logits": logits.numpy()}, os.path.join(folder, variant + ".expected.safetensors"))


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
    decoders(out, small, heads, rope)
    towers(out)


def granite_keys(w, c):
    w.add_attention_scale(c.attention_multiplier)
    w.add_embedding_scale(c.embedding_multiplier)
    w.add_residual_scale(c.residual_multiplier)
    w.add_logit_scale(c.logits_scaling)


def gemma2_keys(w, c):
    w.add_attn_logit_softcapping(c.attn_logit_softcapping)
    w.add_final_logit_softcapping(c.final_logit_softcapping)
    w.add_sliding_window(c.sliding_window)


def gemma3_keys(w, c):
    w.add_sliding_window(c.sliding_window)


def ministral3_keys(w, c):
    w.add_rope_scaling_yarn_log_mul(c.rope_parameters["mscale_all_dim"])
    w.add_attn_temperature_scale(c.rope_parameters["llama_4_scaling_beta"])


def olmo3_keys(w, c):
    w.add_sliding_window(c.sliding_window)
    w.add_sliding_window_pattern([t == "sliding_attention" for t in c.layer_types])


def decoders(out, small, heads, rope):
    four = {**small, "hidden_size": 24, "intermediate_size": 36, "num_hidden_layers": 4}
    causal(out, "olmo2", tr.Olmo2Config, tr.Olmo2ForCausalLM, 12, {
        "plain": ({}, True, llama_like("olmo2", post_norms=True))}, **small, **heads)
    causal(out, "olmo3", tr.Olmo3Config, tr.Olmo3ForCausalLM, 13, {
        "plain": (dict(rope_parameters=dict(
            full_attention=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32, rope_theta=5000.0),
            sliding_attention=dict(rope_type="default", rope_theta=5000.0))), False,
            llama_like("olmo2", post_norms=True, extra=olmo3_keys))}, sliding_window=20, **four, **heads)
    causal(out, "smollm3", tr.SmolLM3Config, tr.SmolLM3ForCausalLM, 14, {
        "plain": ({}, False, llama_like("smollm3", permuted=True)),
        "window": (dict(no_rope_layers=[0, 1, 1, 0], use_sliding_window=True, sliding_window=20), True, None)},
        **four, **heads)
    causal(out, "granite", tr.GraniteConfig, tr.GraniteForCausalLM, 15, {
        "plain": ({}, True, llama_like("granite", permuted=True, extra=granite_keys))},
        embedding_multiplier=3.0, attention_multiplier=0.2, residual_multiplier=0.6, logits_scaling=4.0,
        tie_word_embeddings=True, **small, **heads)
    gemma = dict(head_dim=16, **heads)
    causal(out, "gemma", tr.GemmaConfig, tr.GemmaForCausalLM, 16, {
        "plain": ({}, True, llama_like("gemma", shift=1))}, **small, **gemma)
    causal(out, "gemma2", tr.Gemma2Config, tr.Gemma2ForCausalLM, 17, {
        "plain": (dict(query_pre_attn_scalar=16), True,
                  llama_like("gemma2", shift=1, post_norms=True, extra=gemma2_keys)),
        "scalar": (dict(query_pre_attn_scalar=50, final_logit_softcapping=None), False, None)},
        sliding_window=20, attn_logit_softcapping=3.0, final_logit_softcapping=5.0, **small, **gemma)
    causal(out, "gemma3", tr.Gemma3TextConfig, tr.Gemma3ForCausalLM, 18, {
        "plain": (dict(rope_parameters=dict(
            full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e6),
            sliding_attention=dict(rope_type="default", rope_theta=10000.0))), True,
            llama_like("gemma3", shift=1, post_norms=True, extra=gemma3_keys))},
        query_pre_attn_scalar=16, sliding_window=20, **{**four, "num_hidden_layers": 7}, **gemma)
    causal(out, "opt", tr.OPTConfig, tr.OPTForCausalLM, 19, {"plain": ({}, False, None)}, hidden_size=32, ffn_dim=52,
           num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=128, word_embed_proj_dim=32)
    causal(out, "ministral", tr.MinistralConfig, tr.MinistralForCausalLM, 20, {
        "plain": (dict(layer_types=["full_attention", "sliding_attention"]), True, None)},
        sliding_window=20, head_dim=8, **small, **heads)
    causal(out, "ministral3", tr.Ministral3Config, tr.Ministral3ForCausalLM, 21, {
        "plain": (dict(rope_parameters=dict(
            rope_type="yarn", factor=4.0, original_max_position_embeddings=32, beta_fast=32.0, beta_slow=1.0, mscale=1.0,
            mscale_all_dim=1.0, llama_4_scaling_beta=0.4, **rope)), False,
            llama_like("mistral3", permuted=True, extra=ministral3_keys))}, head_dim=16, **small, **heads)


def towers(out):
    text = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=52, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=2, head_dim=16, max_position_embeddings=128)
    vision = dict(hidden_size=16, intermediate_size=20, num_hidden_layers=1, num_attention_heads=2, image_size=16,
                  patch_size=8)
    tower(out, "gemma3-images", tr.Gemma3Config(
        text_config=dict(query_pre_attn_scalar=16, sliding_window=20, **text), vision_config=vision,
        mm_tokens_per_image=4), tr.Gemma3ForConditionalGeneration, 22)
    tower(out, "mistral3-images", tr.Mistral3Config(
        text_config=dict(model_type="mistral", **text), vision_config=dict(model_type="pixtral", head_dim=8, **vision)),
        tr.Mistral3ForConditionalGeneration, 23,
        names=("language_model.model.", "model.language_model."))
    qwen = {k: v for k, v in text.items() if k != "head_dim"}
    tower(out, "qwen25-images", tr.Qwen2_5_VLConfig(
        text_config=dict(rope_parameters=dict(rope_type="default", rope_theta=1e4, mrope_section=[1, 1, 2]), **qwen),
        vision_config=dict(depth=1, hidden_size=16, intermediate_size=20, num_heads=2, out_hidden_size=32,
                           fullatt_block_indexes=[0])), tr.Qwen2_5_VLForConditionalGeneration, 24)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__)))
