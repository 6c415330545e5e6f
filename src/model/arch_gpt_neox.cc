// GPT-NeoX (Black et al. 2022, arXiv 2204.06745) and Pythia. Attention and MLP read the same residual stream, unless
// use_parallel_residual is false. Only the first part of every head is rotated. There is one weight for q, k and v: in
// Hugging Face's files its rows are q, k, v of the first head, then of the second and so on; in GGUF they are all q,
// all k, all v.
#include "model/architectures.h"

namespace occ {
namespace {

void read_gpt_neox_hf(const ConfigKeys& keys, ModelConfig& config) {
  config.vocab_size = keys.size("vocab_size");
  config.dim = keys.size("hidden_size");
  config.layers = keys.size("num_hidden_layers");
  config.ff_dim = keys.size("intermediate_size");
  read_heads(keys, "num_attention_heads", "num_attention_heads", "head_dim", config);
  config.max_context = keys.size_or("max_position_embeddings", 2048);
  config.norm = Norm::kLayer;
  config.norm_eps = keys.number_or("layer_norm_eps", 1e-5f, 0, 1);
  config.activation = read_activation(keys, "hidden_act", "gelu");
  config.parallel_residual = keys.flag_or("use_parallel_residual", true);
  config.qkv_bias = config.attention_output_bias = keys.flag_or("attention_bias", true);
  config.mlp_bias = true;
  config.qkv_by_head = true;
  read_rope_hf(keys, config, "rotary_emb_base", "rotary_pct", 0.25f);
}

void read_gpt_neox_gguf(const ConfigKeys& keys, ModelConfig& config) {
  config.activation = Activation::kGelu;
  config.parallel_residual = keys.flag_or("use_parallel_residual", true);
  config.qkv_bias = config.attention_output_bias = config.mlp_bias = true;
}

}  // namespace

Architecture gpt_neox_architecture() {
  Architecture a;
  a.name = a.gguf_name = "gptneox";
  a.hf_classes = {"GPTNeoXForCausalLM"};
  a.model_types = {"gpt_neox"};
  a.hf_prefixes = {"gpt_neox.", ""};
  TensorNames& hf = a.hf_names;
  hf.token_embedding = "embed_in";
  hf.final_norm = "final_layer_norm";
  hf.head = "embed_out";
  hf.attention_norm = "layers.#.input_layernorm";
  hf.qkv = "layers.#.attention.query_key_value";
  hf.attention_output = "layers.#.attention.dense";
  hf.mlp_norm = "layers.#.post_attention_layernorm";
  hf.up = "layers.#.mlp.dense_h_to_4h";
  hf.down = "layers.#.mlp.dense_4h_to_h";
  TensorNames& gguf = a.gguf_names;
  gguf = llama_gguf_names();
  gguf.q = gguf.k = gguf.v = gguf.gate = "";
  gguf.qkv = "blk.#.attn_qkv";
  a.read_hf = read_gpt_neox_hf;
  a.read_gguf = read_gpt_neox_gguf;
  return a;
}

}  // namespace occ
