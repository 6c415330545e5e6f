// Qwen2 (Yang et al. 2024, arXiv 2407.10671) is Llama with biases for q, k and v. Qwen3 (Yang et al. 2025, arXiv
// 2505.09388) has no such biases, but an RMS norm for every head of q and k before the rotation. Both may have a
// sliding window in their last layers. Qwen3-MoE has a mixture of experts in every layer.
#include "model/architectures.h"

namespace occ {
namespace {

void read_windows(const ConfigKeys& keys, ModelConfig& config) {
  if (!keys.flag_or("use_sliding_window", false)) return;
  const size_t first = keys.has("max_window_layers") ? keys.count("max_window_layers") : 28;
  read_layer_types(
      keys, config, [&](size_t layer) { return layer >= first; }, 4096);
}

void write_windows(const ModelConfig& /*config*/, nlohmann::ordered_json& out) {
  if (out.contains("sliding_window")) out["use_sliding_window"] = true;
}

void read_qwen2_hf(const ConfigKeys& keys, ModelConfig& config) {
  read_llama_hf(keys, config);
  config.qkv_bias = true;
  config.attention_output_bias = config.mlp_bias = false;
  read_windows(keys, config);
}

void read_qwen3_hf(const ConfigKeys& keys, ModelConfig& config) {
  read_llama_hf(keys, config);
  read_windows(keys, config);
}

void read_qwen3_moe_hf(const ConfigKeys& keys, ModelConfig& config) {
  read_qwen3_hf(keys, config);
  read_experts_hf(keys, config);
  config.ff_dim = keys.size("moe_intermediate_size");
  config.normalized_experts = keys.flag_or("norm_topk_prob", false);
  if (keys.size_or("decoder_sparse_step", 1) != 1) keys.fail("decoder_sparse_step", "1 (experts in every layer)");
  if (keys.has("mlp_only_layers")) keys.numbers("mlp_only_layers", 0);
}

void read_qwen2_gguf(const ConfigKeys& /*keys*/, ModelConfig& config) { config.qkv_bias = true; }
void read_qwen3_gguf(const ConfigKeys& /*keys*/, ModelConfig& /*config*/) {}

}  // namespace

Architecture qwen2_architecture() {
  Architecture a;
  a.name = a.gguf_name = "qwen2";
  // The models of images and text of 2024 have no text_config.
  a.hf_classes = {"Qwen2ForCausalLM", "Qwen2VLForConditionalGeneration", "Qwen2_5_VLForConditionalGeneration"};
  a.model_types = {"qwen2", "qwen2_vl", "qwen2_5_vl"};
  a.hf_prefixes = {"model.", ""};
  a.hf_names = llama_hf_names();
  a.gguf_names = llama_gguf_names();
  a.write_hf = write_windows;
  a.read_hf = read_qwen2_hf;
  a.read_gguf = read_qwen2_gguf;
  return a;
}

Architecture qwen3_architecture() {
  Architecture a = qwen2_architecture();
  a.name = a.gguf_name = "qwen3";
  a.hf_classes = {"Qwen3ForCausalLM"};
  a.model_types = {"qwen3", "qwen3_vl"};
  a.hf_names.q_norm = "layers.#.self_attn.q_norm";
  a.hf_names.k_norm = "layers.#.self_attn.k_norm";
  a.gguf_names.q_norm = "blk.#.attn_q_norm";
  a.gguf_names.k_norm = "blk.#.attn_k_norm";
  a.read_hf = read_qwen3_hf;
  a.read_gguf = read_qwen3_gguf;
  return a;
}

Architecture qwen3_moe_architecture() {
  Architecture a = qwen3_architecture();
  a.name = "qwen3moe";
  a.gguf_name = "";
  a.hf_classes = {"Qwen3MoeForCausalLM"};
  a.model_types = {"qwen3_moe"};
  a.hf_names.router = "layers.#.mlp.gate";
  a.hf_names.gate = "layers.#.mlp.experts.@.gate_proj";
  a.hf_names.up = "layers.#.mlp.experts.@.up_proj";
  a.hf_names.down = "layers.#.mlp.experts.@.down_proj";
  a.read_hf = read_qwen3_moe_hf;
  a.read_gguf = nullptr;
  return a;
}

}  // namespace occ
