// Granite 3 (IBM 2024) is Llama with factors of embeddings, scores, residual additions and logits (as in muP, Yang et al.
// 2022, arXiv 2203.03466). Only the dense models.
#include "model/architectures.h"

namespace occ {
namespace {

constexpr float kLeastScale = 1e-9f, kMostScale = 1e9f;

void read_granite_hf(const ConfigKeys& keys, ModelConfig& config) {
  read_llama_hf(keys, config);
  config.embedding_scale = keys.number_or("embedding_multiplier", 1, kLeastScale, kMostScale);
  config.attention_scale = keys.number_or("attention_multiplier", 1, kLeastScale, kMostScale);
  config.residual_scale = keys.number_or("residual_multiplier", 1, kLeastScale, kMostScale);
  config.logit_scale = 1 / keys.number_or("logits_scaling", 1, kLeastScale, kMostScale);
}

void read_granite_gguf(const ConfigKeys& keys, ModelConfig& config) {
  config.rope_pairs = RopePairs::kAdjacent;
  config.embedding_scale = keys.number_or("embedding_scale", 1, kLeastScale, kMostScale);
  config.attention_scale = keys.number_or("attention.scale", 0, 0, kMostScale);
  config.residual_scale = keys.number_or("residual_scale", 1, kLeastScale, kMostScale);
  config.logit_scale = 1 / keys.number_or("logit_scale", 1, kLeastScale, kMostScale);
}

void write_granite_hf(const ModelConfig& config, nlohmann::ordered_json& out) {
  out["embedding_multiplier"] = config.embedding_scale;
  out["attention_multiplier"] = config.score_scale();
  out["residual_multiplier"] = config.residual_scale;
  out["logits_scaling"] = 1 / config.logit_scale;
}

void write_granite_gguf(const ModelConfig& config, const std::string& prefix, GgufMetadata& metadata) {
  metadata.append(prefix + "embedding_scale", config.embedding_scale);
  metadata.append(prefix + "attention.scale", config.score_scale());
  metadata.append(prefix + "residual_scale", config.residual_scale);
  metadata.append(prefix + "logit_scale", 1 / config.logit_scale);
}

}  // namespace

Architecture granite_architecture() {
  Architecture a;
  a.name = a.gguf_name = "granite";
  a.hf_classes = {"GraniteForCausalLM"};
  a.model_types = {"granite"};
  a.hf_prefixes = {"model.", ""};
  a.hf_names = llama_hf_names();
  a.gguf_names = llama_gguf_names();
  a.read_hf = read_granite_hf;
  a.read_gguf = read_granite_gguf;
  a.write_hf = write_granite_hf;
  a.write_gguf = write_granite_gguf;
  return a;
}

}  // namespace occ
