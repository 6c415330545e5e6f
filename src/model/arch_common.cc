// What several descriptions of architectures share: the names and keys of Llama, the keys of GGUF, and the reading of
// rotary positions.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/architectures.h"

namespace occ {

TensorNames llama_hf_names() {
  TensorNames n;
  n.token_embedding = "embed_tokens";
  n.final_norm = "norm";
  n.head = "lm_head";
  n.attention_norm = "layers.#.input_layernorm";
  n.q = "layers.#.self_attn.q_proj";
  n.k = "layers.#.self_attn.k_proj";
  n.v = "layers.#.self_attn.v_proj";
  n.attention_output = "layers.#.self_attn.o_proj";
  n.mlp_norm = "layers.#.post_attention_layernorm";
  n.gate = "layers.#.mlp.gate_proj";
  n.up = "layers.#.mlp.up_proj";
  n.down = "layers.#.mlp.down_proj";
  return n;
}

TensorNames llama_gguf_names() {
  TensorNames n;
  n.token_embedding = "token_embd";
  n.final_norm = "output_norm";
  n.head = "output";
  n.attention_norm = "blk.#.attn_norm";
  n.q = "blk.#.attn_q";
  n.k = "blk.#.attn_k";
  n.v = "blk.#.attn_v";
  n.attention_output = "blk.#.attn_output";
  n.mlp_norm = "blk.#.ffn_norm";
  n.gate = "blk.#.ffn_gate";
  n.up = "blk.#.ffn_up";
  n.down = "blk.#.ffn_down";
  return n;
}

void read_heads(const ConfigKeys& keys, const std::string& heads_key, const std::string& kv_heads_key,
                const std::string& head_dim_key, ModelConfig& config) {
  config.heads = keys.size(heads_key);
  config.kv_heads = keys.size_or(kv_heads_key, config.heads);
  if (config.heads % config.kv_heads != 0) {
    keys.fail(kv_heads_key, fmt::format("a divisor of the {} heads", config.heads));
  }
  if (keys.has(head_dim_key)) {
    config.head_dim = keys.size(head_dim_key);
  } else {
    if (config.dim % config.heads != 0) keys.fail(heads_key, fmt::format("a divisor of the width {}", config.dim));
    config.head_dim = config.dim / config.heads;
  }
}

Activation read_activation(const ConfigKeys& keys, const std::string& key, const std::string& fallback) {
  const std::string name = keys.text_or(key, fallback);
  if (name == "silu" || name == "swish") return Activation::kSilu;
  if (name == "gelu" || name == "gelu_python") return Activation::kGelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast" || name == "gelu_accurate" ||
      name == "gelu_python_tanh") {
    return Activation::kGeluTanh;
  }
  if (name == "relu") return Activation::kRelu;
  keys.fail(key, "silu, gelu, gelu_new (gelu_pytorch_tanh) or relu");
}

void read_llama_hf(const ConfigKeys& keys, ModelConfig& config) { read_llama_like_hf(keys, config, 10000); }

void read_llama_like_hf(const ConfigKeys& keys, ModelConfig& config, float default_rope_theta) {
  config.vocab_size = keys.size("vocab_size");
  config.dim = keys.size("hidden_size");
  config.layers = read_layers(keys, "num_hidden_layers");
  config.ff_dim = keys.size("intermediate_size");
  read_heads(keys, "num_attention_heads", "num_key_value_heads", "head_dim", config);
  config.max_context = keys.size_or("max_position_embeddings", 2048);
  config.norm_eps = keys.number_or("rms_norm_eps", 1e-6f, 0, 1);
  config.activation = read_activation(keys, "hidden_act", "silu");
  if (!keys.flag_or("is_causal", true)) keys.fail("is_causal", "true (attention in both directions is for encoders)");
  config.qkv_bias = config.attention_output_bias = keys.flag_or("attention_bias", false);
  config.mlp_bias = keys.flag_or("mlp_bias", false);
  read_rope_hf(keys, config, "rope_theta", "partial_rotary_factor", 1, default_rope_theta);
}

void read_experts_hf(const ConfigKeys& keys, ModelConfig& config) {
  config.experts = keys.size(keys.has("num_local_experts") ? "num_local_experts" : "num_experts");
  config.experts_used = keys.size("num_experts_per_tok");
  if (config.experts_used > config.experts) {
    keys.fail("num_experts_per_tok", fmt::format("at most the {} experts", config.experts));
  }
}

size_t read_layers(const ConfigKeys& keys, const std::string& key) {
  constexpr size_t kMost = 65536;
  const size_t layers = keys.size(key);
  if (layers > kMost) keys.fail(key, fmt::format("an integer from 1 to {}", kMost));
  return layers;
}

void set_windows(ModelConfig& config, size_t window) {
  config.layer_kinds.resize(config.layers);
  for (LayerKind& kind : config.layer_kinds) kind.window = window;
}

void read_layer_types(const ConfigKeys& keys, ModelConfig& config, const std::function<bool(size_t layer)>& by_default,
                      size_t default_window) {
  config.layer_kinds.resize(config.layers);
  const bool named = keys.has("layer_types");
  const std::vector<std::string> types = named ? keys.texts("layer_types") : std::vector<std::string>(config.layers);
  if (types.size() < config.layers) keys.fail("layer_types", fmt::format("the types of {} layers", config.layers));
  for (size_t i = 0; i < config.layers; ++i) {
    const bool sliding = named ? types[i] == "sliding_attention" : by_default(i);
    if (named && !sliding && types[i] != "full_attention") {
      keys.fail("layer_types", "full_attention or sliding_attention for every layer");
    }
    if (!sliding) continue;
    config.layer_kinds[i].window = keys.has("sliding_window")      ? keys.size("sliding_window")
                                   : keys.absent("sliding_window") ? default_window
                                                                   : 0;  // null: no window
  }
}

void read_layer_types_gguf(const ConfigKeys& keys, ModelConfig& config, size_t default_period) {
  const std::string key = "attention.sliding_window", pattern = "attention.sliding_window_pattern";
  const size_t window = keys.has(key) ? keys.count(key) : 0;
  if (window == 0) return;
  set_windows(config, window);
  const bool listed = keys.is_array(pattern);
  const std::vector<bool> flags = listed ? keys.flags(pattern) : std::vector<bool>();
  if (listed && flags.size() != config.layers) keys.fail(pattern, fmt::format("flags of {} layers", config.layers));
  const size_t period = listed ? 1 : keys.size_or(pattern, default_period);
  for (size_t i = 0; i < config.layers; ++i) {
    if (listed ? !flags[i] : period > 1 && i % period == period - 1) config.layer_kinds[i].window = 0;
  }
}

void write_window_pattern(const ModelConfig& config, const std::string& prefix, GgufMetadata& metadata) {
  std::vector<bool> flags;
  bool any = false;
  for (size_t i = 0; i < config.layers; ++i) {
    flags.push_back(config.layer_kind(i).window != 0);
    any |= flags.back();
  }
  if (any) metadata.append(prefix + "attention.sliding_window_pattern", GgufArray{std::move(flags)});
}

void read_gguf_sizes(const ConfigKeys& keys, ModelConfig& config) {
  config.dim = keys.size("embedding_length");
  config.layers = read_layers(keys, "block_count");
  config.ff_dim = keys.size("feed_forward_length");
  read_heads(keys, "attention.head_count", "attention.head_count_kv", "attention.key_length", config);
  if (keys.has("attention.value_length") && keys.size("attention.value_length") != config.head_dim) {
    keys.fail("attention.value_length", fmt::format("the length of keys, {}", config.head_dim));
  }
  config.max_context = keys.size("context_length");
  if (keys.has("attention.layer_norm_rms_epsilon")) {
    config.norm_eps = keys.number("attention.layer_norm_rms_epsilon", 0, 1);
  } else {
    config.norm = Norm::kLayer;
    config.norm_eps = keys.number("attention.layer_norm_epsilon", 0, 1);
  }
}

namespace {

constexpr float kLargest = 1e15f;

// The first rotary_dim elements of a head, an even number of them.
void set_rotary_dim(size_t rotary_dim, const ConfigKeys& keys, const std::string& key, ModelConfig& config) {
  if (rotary_dim == 0 || rotary_dim % 2 != 0 || rotary_dim > config.head_dim) {
    keys.fail(key,
              fmt::format("an even number of rotary dimensions up to {} (they are {})", config.head_dim, rotary_dim));
  }
  config.rotary_dim = rotary_dim;
}

float yarn_magnitude(float factor, float scale) { return factor <= 1 ? 1 : 0.1f * scale * std::log(factor) + 1; }

float longrope_magnitude(float factor, size_t original) {
  return factor <= 1 || original < 2 ? 1 : std::sqrt(1 + std::log(factor) / std::log(static_cast<float>(original)));
}

void read_yarn_hf(const ConfigKeys& keys, ModelConfig& config) {
  config.rope_beta_fast = keys.number_or("beta_fast", 32, 0.01f, 1e6f);
  config.rope_beta_slow = keys.number_or("beta_slow", 1, 0.01f, 1e6f);
  config.rope_truncate = keys.flag_or("truncate", true);
  const float mscale = keys.number_or("mscale", 0, 0, 100), all_dim = keys.number_or("mscale_all_dim", 0, 0, 100);
  config.rope_attention_factor = mscale != 0 && all_dim != 0 ? yarn_magnitude(config.rope_factor, mscale) /
                                                                   yarn_magnitude(config.rope_factor, all_dim)
                                                             : yarn_magnitude(config.rope_factor, 1);
  config.rope_attention_factor = keys.number_or("attention_factor", config.rope_attention_factor, 0.01f, 100);
}

}  // namespace

void read_rope_hf(const ConfigKeys& keys, ModelConfig& config, const std::string& theta_key,
                  const std::string& partial_key, float default_partial, float default_theta) {
  // Since transformers 5 all of it is in rope_parameters; before, the scaling alone was in rope_scaling.
  const bool merged = keys.has("rope_parameters");
  const std::string scaling_key = merged ? "rope_parameters" : "rope_scaling";
  const bool scaled = keys.has(scaling_key);
  ConfigKeys scaling = scaled ? keys.object(scaling_key) : keys;
  if (scaled && scaling.is_object("full_attention")) {  // one object for every type of layer
    if (scaling.has("sliding_attention")) {
      const ConfigKeys local = scaling.object("sliding_attention");
      if (local.text_or("rope_type", "default") != "default") local.fail("rope_type", "default");
      config.rope_local_theta = local.number_or("rope_theta", config.rope_local_theta, 1.0001f, kLargest);
    }
    scaling = scaling.object("full_attention");
  }
  const auto number = [&](const std::string& inner, const std::string& outer, float fallback, float least, float most) {
    return scaled && scaling.has(inner) ? scaling.number(inner, least, most)
                                        : keys.number_or(outer, fallback, least, most);
  };
  config.rope_theta = number("rope_theta", theta_key, default_theta, 1.0001f, kLargest);
  const float partial = number("partial_rotary_factor", partial_key, default_partial, 0, 1);
  set_rotary_dim(static_cast<size_t>(static_cast<double>(config.head_dim) * static_cast<double>(partial)), keys,
                 partial_key, config);
  if (!scaled) return;
  const std::string type_key = scaling.has("rope_type") ? "rope_type" : "type";
  const std::string type = scaling.text_or(type_key, "default");
  // An original context beside the scaling (Phi-3) counts more than one in it.
  const size_t in_scaling = scaling.size_or("original_max_position_embeddings", config.max_context);
  config.rope_original_context = keys.size_or("original_max_position_embeddings", in_scaling);
  if (type == "default" || type == "mrope") return;  // mrope: with text alone it is the default
  const float stretch = static_cast<float>(config.max_context) / static_cast<float>(config.rope_original_context);
  if (type == "linear") {
    config.rope_scaling = RopeScaling::kLinear;
    config.rope_factor = scaling.number("factor", 1e-3f, 1e6f);
  } else if (type == "dynamic") {
    config.rope_scaling = RopeScaling::kDynamic;
  } else if (type == "llama3") {
    config.rope_scaling = RopeScaling::kLlama3;
    config.rope_factor = scaling.number("factor", 1, 1e6f);
    config.rope_low_freq = scaling.number_or("low_freq_factor", 1, 1e-3f, 1e6f);
    config.rope_high_freq = scaling.number_or("high_freq_factor", 4, 1e-3f, 1e6f);
    if (config.rope_high_freq <= config.rope_low_freq) scaling.fail("high_freq_factor", "more than low_freq_factor");
  } else if (type == "longrope" || type == "su" || scaling.has("short_factor")) {
    config.rope_scaling = RopeScaling::kLongRope;
    config.rope_factors = scaling.numbers("short_factor", config.rotary_dim / 2);
    config.rope_long_factors = scaling.numbers("long_factor", config.rotary_dim / 2);
    const float factor = scaling.number_or("factor", stretch, 1e-3f, 1e6f);
    config.rope_attention_factor =
        scaling.number_or("attention_factor", longrope_magnitude(factor, config.rope_original_context), 0.01f, 100);
  } else if (type == "yarn") {
    config.rope_scaling = RopeScaling::kYarn;
    config.rope_factor = scaling.number_or("factor", std::max(stretch, 1.0f), 1, 1e6f);
    read_yarn_hf(scaling, config);
  } else {
    scaling.fail(type_key, "default, linear, dynamic, llama3, yarn or longrope");
  }
}

void read_rope_gguf(const ConfigKeys& keys, ModelConfig& config) {
  config.rope_theta = keys.number_or("rope.freq_base", 10000, 1.0001f, kLargest);
  set_rotary_dim(keys.size_or("rope.dimension_count", config.head_dim), keys, "rope.dimension_count", config);
  config.rope_original_context = keys.size_or("rope.scaling.original_context_length", config.max_context);
  const float stretch = static_cast<float>(config.max_context) / static_cast<float>(config.rope_original_context);
  const bool scaled = keys.has("rope.scaling.factor") || keys.has("rope.scale_linear");
  const std::string type = keys.text_or("rope.scaling.type", scaled ? "linear" : "none");
  if (type == "none" || type == "longrope") {  // longrope: its factors are tensors
    if (type == "longrope") config.rope_scaling = RopeScaling::kLongRope;
    config.rope_attention_factor = keys.number_or("rope.scaling.attn_factor", 1, 0.01f, 100);
  } else if (type == "linear") {
    config.rope_scaling = RopeScaling::kLinear;
    const std::string key = keys.has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear";
    config.rope_factor = keys.number_or(key, 1, 1e-3f, 1e6f);
  } else if (type == "yarn") {
    config.rope_scaling = RopeScaling::kYarn;
    config.rope_factor = keys.number_or("rope.scaling.factor", std::max(stretch, 1.0f), 1, 1e6f);
    config.rope_beta_fast = keys.number_or("rope.scaling.yarn_beta_fast", 32, 0.01f, 1e6f);
    config.rope_beta_slow = keys.number_or("rope.scaling.yarn_beta_slow", 1, 0.01f, 1e6f);
    config.rope_attention_factor =
        keys.number_or("rope.scaling.attn_factor", 1, 0.01f, 100) * yarn_magnitude(config.rope_factor, 1) /
        yarn_magnitude(config.rope_factor, keys.number_or("rope.scaling.yarn_log_multiplier", 0, 0, 100));
  } else {
    keys.fail("rope.scaling.type", "none, linear, yarn or longrope");
  }
}

}  // namespace occ
