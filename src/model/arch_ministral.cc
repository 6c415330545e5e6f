// Ministral (Mistral AI 2024) is Mistral whose layers may have a sliding window or none. Ministral 3 (2025) has no window;
// its queries grow with the logarithm of the position (ModelConfig::query_growth), as in Llama 4.
#include <cmath>

#include "model/architectures.h"

namespace occ {

Architecture mistral_architecture();

namespace {

void read_ministral_hf(const ConfigKeys& keys, ModelConfig& config) {
  read_llama_hf(keys, config);
  read_layer_types(keys, config, [](size_t) { return true; });
}

void read_ministral3_hf(const ConfigKeys& keys, ModelConfig& config) {
  read_llama_hf(keys, config);
  if (keys.has("sliding_window")) set_windows(config, keys.size("sliding_window"));
  if (keys.has("rope_parameters")) {
    config.query_growth = keys.object("rope_parameters").number_or("llama_4_scaling_beta", 0, 0, 1e6f);
  }
}

void read_ministral3_gguf(const ConfigKeys& keys, ModelConfig& config) {
  config.rope_pairs = RopePairs::kAdjacent;
  config.query_growth = keys.number_or("attention.temperature_scale", 0, 0, 1e6f);
}

void write_ministral3_hf(const ModelConfig& config, nlohmann::ordered_json& out) {
  nlohmann::ordered_json rope = out.value("rope_scaling", nlohmann::ordered_json{{"rope_type", "default"}});
  rope["rope_theta"] = config.rope_theta;
  if (config.query_growth != 0) {
    rope["llama_4_scaling_beta"] = config.query_growth;
    rope["original_max_position_embeddings"] = config.rope_original_context;
  }
  out.erase("rope_theta");
  out.erase("rope_scaling");
  out["rope_parameters"] = std::move(rope);
}

void write_ministral3_gguf(const ModelConfig& config, const std::string& prefix, GgufMetadata& metadata) {
  if (config.query_growth != 0) metadata.append(prefix + "attention.temperature_scale", config.query_growth);
}

}  // namespace

Architecture ministral_architecture() {
  Architecture a = mistral_architecture();
  a.name = "ministral";
  a.hf_classes = {"MinistralForCausalLM"};
  a.model_types = {"ministral"};
  a.read_hf = read_ministral_hf;
  return a;
}

Architecture ministral3_architecture() {
  Architecture a = mistral_architecture();
  a.name = "ministral3";
  a.gguf_name = "mistral3";
  a.gguf_full_yarn = true;
  a.hf_classes = {"Ministral3ForCausalLM"};
  a.model_types = {"ministral3"};
  a.read_hf = read_ministral3_hf;
  a.read_gguf = read_ministral3_gguf;
  a.write_hf = write_ministral3_hf;
  a.write_gguf = write_ministral3_gguf;
  a.hf_defaults = R"({"vocab_size": 131072, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 34,
      "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 262144})";
  return a;
}

}  // namespace occ
