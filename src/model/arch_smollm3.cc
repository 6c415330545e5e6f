// SmolLM3 (Hugging Face 2025) is Llama without rotary positions in every fourth layer (Yang et al. 2025, arXiv
// 2501.18795). GGUF has no key for it: there it is always the fourth, eighth, ... layer.
#include "model/architectures.h"

namespace occ {
namespace {

constexpr size_t kInterval = 4;

void read_smollm3_hf(const ConfigKeys& keys, ModelConfig& config) {
  read_llama_like_hf(keys, config, 2e6f);
  const bool listed = keys.has("no_rope_layers");  // 1 for the layers that rotate
  const std::vector<bool> rotates = listed ? keys.flags("no_rope_layers") : std::vector<bool>();
  const size_t interval = keys.size_or("no_rope_layer_interval", kInterval);
  if (listed && rotates.size() < config.layers) {
    keys.fail("no_rope_layers", fmt::format("1 or 0 for each of {} layers", config.layers));
  }
  config.layer_kinds.resize(config.layers);
  for (size_t i = 0; i < config.layers; ++i) {
    config.layer_kinds[i].rotates = listed ? rotates[i] : (i + 1) % interval != 0;
  }
  if (!keys.flag_or("use_sliding_window", false)) return;
  read_layer_types(keys, config, [&](size_t layer) { return !config.layer_kinds[layer].rotates; });
}

void read_smollm3_gguf(const ConfigKeys& /*keys*/, ModelConfig& config) {
  config.rope_pairs = RopePairs::kAdjacent;
  config.layer_kinds.resize(config.layers);
  for (size_t i = kInterval - 1; i < config.layers; i += kInterval) config.layer_kinds[i].rotates = false;
}

}  // namespace

Architecture smollm3_architecture() {
  Architecture a;
  a.name = a.gguf_name = "smollm3";
  a.hf_classes = {"SmolLM3ForCausalLM"};
  a.model_types = {"smollm3"};
  a.hf_prefixes = {"model.", ""};
  a.hf_names = llama_hf_names();
  a.gguf_names = llama_gguf_names();
  a.read_hf = read_smollm3_hf;
  a.read_gguf = read_smollm3_gguf;
  return a;
}

}  // namespace occ
