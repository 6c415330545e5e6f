#include "model/config_export.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "model/architectures.h"

namespace occ {
namespace {

using nlohmann::ordered_json;

const char* activation_name(Activation a) {
  switch (a) {
    case Activation::kSilu:
      return "silu";
    case Activation::kGelu:
      return "gelu";
    case Activation::kGeluTanh:
      return "gelu_new";
    case Activation::kRelu:
      return "relu";
  }
  return "";
}

ordered_json rope_scaling_json(const ModelConfig& c, const std::string& what) {
  switch (c.rope_scaling) {
    case RopeScaling::kNone:
      return nullptr;
    case RopeScaling::kLinear:
      return {{"rope_type", "linear"}, {"factor", c.rope_factor}};
    case RopeScaling::kLlama3:
      return {{"rope_type", "llama3"},
              {"factor", c.rope_factor},
              {"low_freq_factor", c.rope_low_freq},
              {"high_freq_factor", c.rope_high_freq},
              {"original_max_position_embeddings", c.rope_original_context}};
    case RopeScaling::kYarn:
      return {{"rope_type", "yarn"},
              {"factor", c.rope_factor},
              {"original_max_position_embeddings", c.rope_original_context},
              {"beta_fast", c.rope_beta_fast},
              {"beta_slow", c.rope_beta_slow},
              {"attention_factor", c.rope_attention_factor}};
    case RopeScaling::kDynamic:
    case RopeScaling::kLongRope:
      break;
  }
  throw_input("{}: its kind of rotary scaling cannot be written to the other format", what);
}

// Names of sizes that differ between families of configurations.
struct SizeKeys {
  const char *dim, *layers, *heads, *ff_dim, *context, *norm_eps, *activation;
};
constexpr SizeKeys kLlamaKeys = {"hidden_size",       "num_hidden_layers",       "num_attention_heads",
                                 "intermediate_size", "max_position_embeddings", "rms_norm_eps",
                                 "hidden_act"};
constexpr SizeKeys kLayerNormKeys = {"hidden_size",       "num_hidden_layers",       "num_attention_heads",
                                     "intermediate_size", "max_position_embeddings", "layer_norm_eps",
                                     "hidden_act"};
constexpr SizeKeys kGpt2Keys = {
    "n_embd", "n_layer", "n_head", "n_inner", "n_positions", "layer_norm_epsilon", "activation_function"};

// The factor of cosines and sines that YaRN has by itself.
float usual_magnitude(const ModelConfig& c) { return 0.1f * std::log(c.rope_factor) + 1; }

// Of all layers; 0: none has a window.
size_t widest_window(const ModelConfig& c) {
  size_t window = 0;
  for (const LayerKind& kind : c.layer_kinds) window = std::max(window, kind.window);
  return window;
}

// The shortest decimal that reads back as the float.
double decimal(float v) { return std::stod(fmt::format("{}", v)); }

}  // namespace

std::string hf_config_json(const ModelConfig& c, const ExportFacts& facts, const std::string& what) {
  const Architecture& a = find_architecture(c.architecture);
  const bool gpt2 = c.position == Position::kLearned && !c.encoder, rotary = c.position == Position::kRotary;
  const bool llama_like = rotary && c.norm == Norm::kRms;
  const SizeKeys& keys = gpt2 ? kGpt2Keys : llama_like ? kLlamaKeys : kLayerNormKeys;
  ordered_json j = {{"architectures", {a.hf_classes[0]}}, {"model_type", a.model_types[0]}};
  j["vocab_size"] = c.vocab_size;
  j[keys.dim] = c.dim;
  j[keys.layers] = c.layers;
  j[keys.heads] = c.heads;
  j[keys.ff_dim] = c.ff_dim;
  j[keys.context] = c.max_context;
  j[keys.norm_eps] = decimal(c.norm_eps);
  j[keys.activation] = activation_name(c.activation);
  if (llama_like) {
    j["num_key_value_heads"] = c.kv_heads;
    j["head_dim"] = c.head_dim;
    j["rope_theta"] = decimal(c.rope_theta);
    if (const ordered_json scaling = rope_scaling_json(c, what); !scaling.is_null()) j["rope_scaling"] = scaling;
    if (c.rotary_dim != c.head_dim) {
      j["partial_rotary_factor"] = static_cast<double>(c.rotary_dim) / static_cast<double>(c.head_dim);
    }
    j["attention_bias"] = c.attention_output_bias;
    j["mlp_bias"] = c.mlp_bias;
    if (const size_t window = widest_window(c); window != 0) {
      j["sliding_window"] = window;
      for (size_t i = 0; i < c.layers; ++i) {
        j["layer_types"].push_back(c.layer_kind(i).window != 0 ? "sliding_attention" : "full_attention");
      }
    }
  } else if (rotary) {
    j["rotary_pct"] = static_cast<double>(c.rotary_dim) / static_cast<double>(c.head_dim);
    j["rotary_emb_base"] = decimal(c.rope_theta);
    j["use_parallel_residual"] = c.parallel_residual;
    if (const ordered_json scaling = rope_scaling_json(c, what); !scaling.is_null()) j["rope_scaling"] = scaling;
  }
  if (a.write_hf != nullptr) a.write_hf(c, j);
  if (c.encoder) j["type_vocab_size"] = facts.token_types;
  if (c.encoder && rotary) j["rope_theta"] = decimal(c.rope_theta);
  if (!c.encoder) j["tie_word_embeddings"] = c.tied_embeddings;
  if (facts.bos) j["bos_token_id"] = *facts.bos;
  if (facts.eos) j["eos_token_id"] = *facts.eos;
  return j.dump(2) + "\n";
}

namespace {

uint32_t gguf_pooling(const ModelConfig& c, const std::string& what) {
  switch (c.pooling) {
    case Pooling::kMean:
      return 1;
    case Pooling::kFirst:
      return 2;
    case Pooling::kLast:
      return 3;
    default:
      throw_input("{}: its pooling is not the mean, the first or the last token, which GGUF can express", what);
  }
}

}  // namespace

std::string sentence_modules_json() {
  const auto module = [](int i, const char* path, const char* type) {
    return ordered_json{{"idx", i},
                        {"name", std::to_string(i)},
                        {"path", path},
                        {"type", std::string("sentence_transformers.models.") + type}};
  };
  return ordered_json::array({module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling")}).dump(2) + "\n";
}

std::string pooling_json(const ModelConfig& c) {
  return ordered_json{{"word_embedding_dimension", c.dim},
                      {"pooling_mode_cls_token", c.pooling == Pooling::kFirst},
                      {"pooling_mode_mean_tokens", c.pooling == Pooling::kMean},
                      {"pooling_mode_max_tokens", c.pooling == Pooling::kMax},
                      {"pooling_mode_mean_sqrt_len_tokens", c.pooling == Pooling::kMeanSqrt},
                      {"pooling_mode_weightedmean_tokens", c.pooling == Pooling::kWeightedMean},
                      {"pooling_mode_lasttoken", c.pooling == Pooling::kLast}}
             .dump(2) +
         "\n";
}

GgufMetadata gguf_config(const ModelConfig& c, const std::string& name, const std::string& what) {
  const Architecture& a = find_architecture(c.architecture);
  const std::string& arch = a.gguf_name;
  if (arch.empty()) throw_input("{}: GGUF has no form of {} that can be written", what, a.hf_classes[0]);
  GgufMetadata m;
  const auto size = [&](const char* key, size_t value) { m.append(arch + "." + key, static_cast<uint32_t>(value)); };
  m.append("general.architecture", arch);
  m.append("general.name", name);
  size("vocab_size", c.vocab_size);
  size("context_length", c.max_context);
  size("embedding_length", c.dim);
  size("block_count", c.layers);
  size("feed_forward_length", c.ff_dim);
  size("attention.head_count", c.heads);
  if (!c.encoder) size("attention.head_count_kv", c.kv_heads);
  if (c.head_dim * c.heads != c.dim) {
    size("attention.key_length", c.head_dim);
    size("attention.value_length", c.head_dim);
  }
  m.append(arch + (c.norm == Norm::kRms ? ".attention.layer_norm_rms_epsilon" : ".attention.layer_norm_epsilon"),
           c.norm_eps);
  if (const size_t window = widest_window(c); window != 0) size("attention.sliding_window", window);
  if (a.write_gguf != nullptr) a.write_gguf(c, arch + ".", m);
  if (c.encoder) m.append(arch + ".attention.causal", false);
  if (c.encoder || c.says_pooling) m.append(arch + ".pooling_type", gguf_pooling(c, what));
  if (!c.encoder && c.norm == Norm::kLayer && c.position == Position::kRotary) {
    m.append(arch + ".use_parallel_residual", c.parallel_residual);
  }
  if (c.position != Position::kRotary) return m;
  size("rope.dimension_count", c.rotary_dim);
  m.append(arch + ".rope.freq_base", c.rope_theta);
  switch (c.rope_scaling) {
    case RopeScaling::kNone:
    case RopeScaling::kLlama3:  // rope_freqs.weight
      break;
    case RopeScaling::kLinear:
      m.append(arch + ".rope.scaling.type", std::string("linear"));
      m.append(arch + ".rope.scaling.factor", c.rope_factor);
      break;
    case RopeScaling::kYarn:
      if (!c.rope_truncate || (!a.gguf_full_yarn && (c.rope_beta_fast != 32 || c.rope_beta_slow != 1 ||
                                                     std::abs(c.rope_attention_factor - usual_magnitude(c)) > 1e-5f))) {
        throw_input("{}: its YaRN parameters cannot be written to the other format", what);
      }
      if (a.gguf_full_yarn) {
        m.append(arch + ".rope.scaling.yarn_beta_fast", c.rope_beta_fast);
        m.append(arch + ".rope.scaling.yarn_beta_slow", c.rope_beta_slow);
        // Readers divide the usual magnitude by that of this multiplier.
        m.append(arch + ".rope.scaling.yarn_log_multiplier",
                 (usual_magnitude(c) / c.rope_attention_factor - 1) / (usual_magnitude(c) - 1));
      }
      m.append(arch + ".rope.scaling.type", std::string("yarn"));
      m.append(arch + ".rope.scaling.factor", c.rope_factor);
      size("rope.scaling.original_context_length", c.rope_original_context);
      break;
    case RopeScaling::kDynamic:
    case RopeScaling::kLongRope:
      throw_input("{}: its kind of rotary scaling cannot be written to the other format", what);
  }
  return m;
}

}  // namespace occ
