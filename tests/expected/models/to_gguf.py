"""Writes the tiny models of make.py as GGUF, with the names, the order of rows and the metadata of llama.cpp."""
import gguf
import numpy as np
import torch


def writer(path, arch, c, heads, kv_heads):
    w = gguf.GGUFWriter(path, arch)
    w.add_block_count(c.num_hidden_layers if hasattr(c, "num_hidden_layers") else 2)
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


GEMMA = (("input_layernorm", "attn_norm"), ("post_attention_layernorm", "post_attention_norm"),
         ("pre_feedforward_layernorm", "ffn_norm"), ("post_feedforward_layernorm", "post_ffw_norm"))
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
    r = c.rope_parameters.get("full_attention", c.rope_parameters)
    w.add_rope_freq_base(float(r["rope_theta"]))
    w.add_rope_dimension_count(dim)
    if r["rope_type"] == "linear":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(r["factor"])
    if r["rope_type"] == "yarn":
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        w.add_rope_scaling_factor(r["factor"])
        w.add_rope_scaling_orig_ctx_len(r["original_max_position_embeddings"])


def llama_like(arch, permuted=False, extra=None, post_norms=False, shift=0):
    def to_gguf(model, c, path):
        w = writer(path, arch, c, c.num_attention_heads, c.num_key_value_heads)
        w.add_layer_norm_rms_eps(c.rms_norm_eps)
        head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
        w.add_key_length(head_dim)
        w.add_value_length(head_dim)
        rope_keys(w, c, head_dim)
        tensors = renamed(model, (GEMMA if post_norms else ()) + LLAMA)
        if extra:
            extra(w, c)
        for name in tensors:
            if name.endswith("norm.weight"):
                tensors[name] = tensors[name] + shift
        for name in tensors if permuted else ():
            if ".attn_q." in name:
                tensors[name] = permute(tensors[name], c.num_attention_heads)
            if ".attn_k." in name:
                tensors[name] = permute(tensors[name], c.num_key_value_heads)
        r = c.rope_parameters.get("full_attention", c.rope_parameters)
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
