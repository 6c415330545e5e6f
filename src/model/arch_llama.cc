// Llama (Touvron et al. 2023, arXiv 2302.13971) and models of the same form: TinyLlama, SmolLM, Mistral (Jiang et al.
// 2023, arXiv 2310.06825), which adds a sliding window, and Mixtral (Jiang et al. 2024, arXiv 2401.04088), which adds a
// mixture of experts.
//
//   n = rms_norm(x);   x += o(attention(rope(q(n)), rope(k(n)), v(n)))
//   n = rms_norm(x);   x += down(silu(gate(n)) * up(n))
//
// In GGUF files of this architecture the rows of q and k are ordered for adjacent rotary pairs (RopePairs::kAdjacent).
#include "model/architectures.h"

namespace occ {
namespace {

void read_mistral_hf(const ConfigKeys& keys, ModelConfig& config) {
  read_llama_hf(keys, config);
  if (keys.has("sliding_window")) set_windows(config, keys.size("sliding_window"));
  if (keys.absent("sliding_window")) set_windows(config, 4096);  // null: none
}

void read_mixtral_hf(const ConfigKeys& keys, ModelConfig& config) {
  read_llama_hf(keys, config);
  if (keys.has("sliding_window")) set_windows(config, keys.size("sliding_window"));
  read_experts_hf(keys, config);
}

void read_llama_gguf(const ConfigKeys& keys, ModelConfig& config) {
  config.rope_pairs = RopePairs::kAdjacent;
  if (keys.has("expert_count") && keys.count("expert_count") != 0) {
    keys.fail("expert_count", "no experts (mixtures of experts run from Hugging Face folders alone)");
  }
  read_layer_types_gguf(keys, config, 1);
}

}  // namespace

Architecture llama_architecture() {
  Architecture a;
  a.name = a.gguf_name = "llama";
  a.hf_classes = {"LlamaForCausalLM", "LLaMAForCausalLM"};
  a.model_types = {"llama"};
  a.hf_prefixes = {"model.", ""};
  a.hf_names = llama_hf_names();
  a.gguf_names = llama_gguf_names();
  a.read_hf = read_llama_hf;
  a.read_gguf = read_llama_gguf;
  a.hf_defaults = R"({"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
      "num_attention_heads": 32})";
  return a;
}

Architecture mistral_architecture() {
  Architecture a = llama_architecture();
  a.name = "mistral";
  a.hf_classes = {"MistralForCausalLM"};
  a.model_types = {"mistral"};
  a.read_hf = read_mistral_hf;
  a.read_gguf = nullptr;
  a.hf_defaults = R"({"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
      "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 131072})";
  return a;
}

Architecture mixtral_architecture() {
  Architecture a = mistral_architecture();
  a.name = "mixtral";
  a.gguf_name = "";
  a.hf_classes = {"MixtralForCausalLM"};
  a.model_types = {"mixtral"};
  a.hf_names.router = "layers.#.block_sparse_moe.gate";
  a.hf_names.gate = "layers.#.block_sparse_moe.experts.@.w1";
  a.hf_names.up = "layers.#.block_sparse_moe.experts.@.w3";
  a.hf_names.down = "layers.#.block_sparse_moe.experts.@.w2";
  a.read_hf = read_mixtral_hf;
  return a;
}

}  // namespace occ
