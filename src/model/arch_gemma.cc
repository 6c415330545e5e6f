// Gemma (arXiv 2403.08295) is Llama with embeddings times sqrt(dim), norms with the factor 1 + weight and a gate with
// GELU. Gemma 2 (arXiv 2408.00118) adds norms behind attention and MLP, soft caps of scores and logits, and a sliding
// window in every other layer. Gemma 3 (arXiv 2503.19786) has norms of the heads of queries and keys instead of caps, and
// windows in five of six layers, which have rotary frequencies of their own.
//
//   x += norm(o(attention(...)(norm(x))));   x += norm(down(gelu(gate(norm(x))) * up(norm(x))))
//
// GGUF stores 1 + weight for norms, and knows the factor of the scores by the number of layers.
#include <cmath>

#include "model/architectures.h"

namespace occ {
namespace {

constexpr float kMostValue = 1e9f;

float inverse_root(float x) { return 1 / std::sqrt(x); }

void read_gemma_like_hf(const ConfigKeys& keys, ModelConfig& config, float default_rope_theta) {
  read_llama_like_hf(keys, config, default_rope_theta);
  const char* key = keys.has("hidden_activation") ? "hidden_activation" : "hidden_act";
  config.activation = read_activation(keys, key, "gelu_pytorch_tanh");
  config.norm_adds_one = true;
  config.embedding_scale = std::sqrt(static_cast<float>(config.dim));
  if (keys.flag_or("use_bidirectional_attention", false)) keys.fail("use_bidirectional_attention", "false");
}

void read_gemma_hf(const ConfigKeys& keys, ModelConfig& config) {
  read_gemma_like_hf(keys, config, 10000);
  // The first files say gelu and mean this one.
  if (config.activation == Activation::kGelu) config.activation = Activation::kGeluTanh;
}

// Missing: the default; null: none.
float softcap(const ConfigKeys& keys, const std::string& key, float fallback) {
  return keys.absent(key) ? fallback : keys.number_or(key, 0, 0, kMostValue);
}

void read_scores_hf(const ConfigKeys& keys, ModelConfig& config, float attention_softcap, float logit_softcap) {
  config.attention_scale = inverse_root(keys.number_or("query_pre_attn_scalar", 256, 1e-9f, kMostValue));
  config.attention_softcap = softcap(keys, "attn_logit_softcapping", attention_softcap);
  config.logit_softcap = softcap(keys, "final_logit_softcapping", logit_softcap);
}

void read_gemma2_hf(const ConfigKeys& keys, ModelConfig& config) {
  read_gemma_like_hf(keys, config, 10000);
  read_scores_hf(keys, config, 50, 30);
  read_layer_types(keys, config, [](size_t layer) { return layer % 2 == 0; });
}

void set_local_ropes(ModelConfig& config) {
  for (LayerKind& kind : config.layer_kinds) kind.local_rope = kind.window != 0;
}

void read_gemma3_hf(const ConfigKeys& keys, ModelConfig& config) {
  config.rope_local_theta = keys.number_or("rope_local_base_freq", 10000, 1.0001f, 1e15f);
  read_gemma_like_hf(keys, config, 1e6f);
  read_scores_hf(keys, config, 0, 0);
  const size_t period = keys.size_or("sliding_window_pattern", 6);
  read_layer_types(keys, config, [&](size_t layer) { return (layer + 1) % period != 0; });
  set_local_ropes(config);
}

void write_gemma_hf(const ModelConfig& config, nlohmann::ordered_json& out) {
  out["hidden_act"] = out["hidden_activation"] = "gelu_pytorch_tanh";
  out["query_pre_attn_scalar"] = std::lround(1 / (config.score_scale() * config.score_scale()));
  const auto cap = [&](const char* key, float value) {
    out[key] = value != 0 ? nlohmann::ordered_json(value) : nullptr;
  };
  cap("attn_logit_softcapping", config.attention_softcap);
  cap("final_logit_softcapping", config.logit_softcap);
  if (config.rope_local_theta != 10000) out["rope_local_base_freq"] = config.rope_local_theta;
}

void read_gemma_gguf(const ConfigKeys& /*keys*/, ModelConfig& config) {
  config.activation = Activation::kGeluTanh;
  config.embedding_scale = std::sqrt(static_cast<float>(config.dim));
}

// Only the largest models have another factor of the scores than 1 / sqrt(head_dim).
void set_score_scale(ModelConfig& config, size_t layers_of_the_largest) {
  if (config.layers != layers_of_the_largest) return;
  config.attention_scale = inverse_root(static_cast<float>(config.dim) / static_cast<float>(config.heads));
}

void read_gemma2_gguf(const ConfigKeys& keys, ModelConfig& config) {
  read_gemma_gguf(keys, config);
  set_score_scale(config, 46);
  config.attention_softcap = keys.number_or("attn_logit_softcapping", 50, 0, kMostValue);
  config.logit_softcap = keys.number_or("final_logit_softcapping", 30, 0, kMostValue);
  read_layer_types_gguf(keys, config, 2);
}

void read_gemma3_gguf(const ConfigKeys& keys, ModelConfig& config) {
  read_gemma_gguf(keys, config);
  set_score_scale(config, 62);
  config.logit_softcap = keys.number_or("final_logit_softcapping", 0, 0, kMostValue);
  config.rope_local_theta = keys.number_or("rope.freq_base_swa", 10000, 1.0001f, 1e15f);
  read_layer_types_gguf(keys, config, 6);
  set_local_ropes(config);
}

void write_gemma2_gguf(const ModelConfig& config, const std::string& prefix, GgufMetadata& metadata) {
  metadata.append(prefix + "attn_logit_softcapping", config.attention_softcap);
  metadata.append(prefix + "final_logit_softcapping", config.logit_softcap);
  write_window_pattern(config, prefix, metadata);
}

void write_gemma3_gguf(const ModelConfig& config, const std::string& prefix, GgufMetadata& metadata) {
  if (config.logit_softcap != 0) metadata.append(prefix + "final_logit_softcapping", config.logit_softcap);
  metadata.append(prefix + "rope.freq_base_swa", config.rope_local_theta);
  write_window_pattern(config, prefix, metadata);
}

}  // namespace

Architecture gemma_architecture() {
  Architecture a;
  a.name = a.gguf_name = "gemma";
  a.hf_classes = {"GemmaForCausalLM"};
  a.model_types = {"gemma"};
  a.hf_prefixes = {"model.", ""};
  a.hf_names = llama_hf_names();
  a.gguf_names = llama_gguf_names();
  a.read_hf = read_gemma_hf;
  a.read_gguf = read_gemma_gguf;
  a.write_hf = write_gemma_hf;
  a.hf_defaults = R"({"vocab_size": 256000, "hidden_size": 3072, "intermediate_size": 24576, "num_hidden_layers": 28,
      "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 256, "max_position_embeddings": 8192,
      "tie_word_embeddings": true})";
  return a;
}

Architecture gemma2_architecture() {
  Architecture a = gemma_architecture();
  a.name = a.gguf_name = "gemma2";
  a.hf_classes = {"Gemma2ForCausalLM"};
  a.model_types = {"gemma2"};
  a.hf_names.attention_post_norm = "layers.#.post_attention_layernorm";
  a.hf_names.mlp_norm = "layers.#.pre_feedforward_layernorm";
  a.hf_names.mlp_post_norm = "layers.#.post_feedforward_layernorm";
  a.gguf_names.attention_post_norm = "blk.#.post_attention_norm";
  a.gguf_names.mlp_post_norm = "blk.#.post_ffw_norm";
  a.read_hf = read_gemma2_hf;
  a.read_gguf = read_gemma2_gguf;
  a.write_gguf = write_gemma2_gguf;
  a.hf_defaults = R"({"vocab_size": 256000, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
      "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 8192,
      "sliding_window": 4096, "tie_word_embeddings": true})";
  return a;
}

Architecture gemma3_architecture() {
  Architecture a = gemma2_architecture();
  a.name = a.gguf_name = "gemma3";
  a.hf_classes = {"Gemma3ForCausalLM"};
  a.model_types = {"gemma3_text"};
  a.hf_names.q_norm = "layers.#.self_attn.q_norm";
  a.hf_names.k_norm = "layers.#.self_attn.k_norm";
  a.gguf_names.q_norm = "blk.#.attn_q_norm";
  a.gguf_names.k_norm = "blk.#.attn_k_norm";
  a.read_hf = read_gemma3_hf;
  a.read_gguf = read_gemma3_gguf;
  a.write_gguf = write_gemma3_gguf;
  a.hf_defaults = R"({"vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
      "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131072,
      "sliding_window": 4096, "tie_word_embeddings": true})";
  return a;
}

}  // namespace occ
