// OLMo 2 (Walsh et al. 2025, arXiv 2501.00656) is Llama with norms behind attention and MLP, where Llama has them before,
// and with RMS norms of all queries and of all keys of a token. OLMo 3 adds sliding windows; the layers that have one are
// rotated without the scaling of the others.
//
//   x += norm(o(attention(rope(norm(q(x))), rope(norm(k(x))), v(x))))
//   x += norm(down(silu(gate(x)) * up(x)))
#include "model/architectures.h"

namespace occ {
namespace {

// Layers with a window have the rotary positions of the others without their scaling.
void set_window_ropes(ModelConfig& config) {
  for (LayerKind& kind : config.layer_kinds) kind.local_rope = kind.window != 0;
}

void read_olmo2_hf(const ConfigKeys& keys, ModelConfig& config) {
  read_llama_hf(keys, config);
  config.norms_whole_queries = true;
}

void read_olmo3_hf(const ConfigKeys& keys, ModelConfig& config) {
  config.rope_local_theta = keys.number_or("rope_theta", 500000, 1.0001f, 1e15f);
  read_llama_like_hf(keys, config, 500000);
  config.norms_whole_queries = true;
  read_layer_types(keys, config, [](size_t layer) { return layer % 4 != 3; });
  set_window_ropes(config);
}

void read_olmo2_gguf(const ConfigKeys& keys, ModelConfig& config) {
  config.norms_whole_queries = true;
  config.rope_local_theta = keys.number_or("rope.freq_base", 10000, 1.0001f, 1e15f);
  read_layer_types_gguf(keys, config, 4);
  set_window_ropes(config);
}

}  // namespace

Architecture olmo2_architecture() {
  Architecture a;
  a.name = a.gguf_name = "olmo2";
  a.hf_classes = {"Olmo2ForCausalLM"};
  a.model_types = {"olmo2"};
  a.hf_prefixes = {"model.", ""};
  a.hf_names = llama_hf_names();
  a.hf_names.attention_norm = a.hf_names.mlp_norm = "";
  a.hf_names.attention_post_norm = "layers.#.post_attention_layernorm";
  a.hf_names.mlp_post_norm = "layers.#.post_feedforward_layernorm";
  a.hf_names.q_norm = "layers.#.self_attn.q_norm";
  a.hf_names.k_norm = "layers.#.self_attn.k_norm";
  a.gguf_names = llama_gguf_names();
  a.gguf_names.attention_norm = a.gguf_names.mlp_norm = "";
  a.gguf_names.attention_post_norm = "blk.#.post_attention_norm";
  a.gguf_names.mlp_post_norm = "blk.#.post_ffw_norm";
  a.gguf_names.q_norm = "blk.#.attn_q_norm";
  a.gguf_names.k_norm = "blk.#.attn_k_norm";
  a.read_hf = read_olmo2_hf;
  a.read_gguf = read_olmo2_gguf;
  a.write_gguf = write_window_pattern;
  return a;
}

Architecture olmo3_architecture() {
  Architecture a = olmo2_architecture();
  a.name = "olmo3";
  a.hf_classes = {"Olmo3ForCausalLM"};
  a.model_types = {"olmo3"};
  a.read_hf = read_olmo3_hf;
  a.read_gguf = nullptr;
  return a;
}

}  // namespace occ
