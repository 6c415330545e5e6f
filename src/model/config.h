// What a model is: sizes and choices read from config.json (Hugging Face) or GGUF metadata, the same for both.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor_file.h"

namespace occ {

enum class Norm { kRms, kLayer };
enum class Activation { kSilu, kGelu, kGeluTanh, kRelu };
enum class Position { kRotary, kLearned };
enum class RopeScaling { kNone, kLinear, kDynamic, kLlama3, kYarn, kLongRope };
// Which two elements of a head turn together: i and i + rotary_dim / 2, or 2i and 2i + 1.
enum class RopePairs { kHalves, kAdjacent };
enum class Pooling { kMean, kFirst };

struct ModelConfig {
  std::string architecture;  // name of the description in architectures.cc: "llama", "qwen2", "gpt2", "bert", ...
  bool encoder = false;      // attention in both directions, no head: load_encoder
  bool gguf_names = false;   // tensors have GGUF's names and row order
  size_t vocab_size = 0, dim = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, ff_dim = 0;
  size_t max_context = 0;  // positions the model was made for, scaling included
  Norm norm = Norm::kRms;
  float norm_eps = 1e-5f;
  bool tied_embeddings = false;
  Activation activation = Activation::kSilu;
  // Mixtures of experts: of `experts` MLPs in every layer a token goes through the `experts_used` that the router finds
  // likeliest, by their probabilities (normalized_experts: over those of the chosen ones). 0: one MLP.
  size_t experts = 0, experts_used = 0;
  bool normalized_experts = true;
  bool parallel_residual = false;  // GPT-NeoX: x + attention(x) + mlp(x)
  // Biases that must be in the file; others are used if they are there.
  bool qkv_bias = false, attention_output_bias = false, mlp_bias = false;
  bool qkv_by_head = false;  // rows of a fused weight: q, k, v of head 0, of head 1, ...; else all q, all k, all v
  bool transposed_weights = false;   // linear layers are stored [in, out]
  Pooling pooling = Pooling::kMean;  // of encoders
  size_t max_text = 0;               // encoders cut texts to this many tokens; at most max_context

  Position position = Position::kRotary;
  // Rotary positions: the first rotary_dim elements of each head.
  float rope_theta = 10000;
  size_t rotary_dim = 0;
  RopePairs rope_pairs = RopePairs::kHalves;
  RopeScaling rope_scaling = RopeScaling::kNone;  // kDynamic is none up to max_context, and no longer text is taken
  float rope_factor = 1;
  float rope_low_freq = 1, rope_high_freq = 4;  // llama3
  size_t rope_original_context = 0;             // llama3, yarn, longrope
  float rope_attention_factor = 1;              // yarn, longrope: scale of cos and sin
  float rope_beta_fast = 32, rope_beta_slow = 1;
  bool rope_truncate = true;  // yarn: the ramp begins and ends at whole frequencies
  // Divisors of the frequencies, one per frequency. longrope has others for caches longer than rope_original_context;
  // GGUF's rope_freqs.weight is read with the weights.
  std::vector<float> rope_factors, rope_long_factors;
  size_t sliding_window = 0;        // a token sees this many, itself included; 0: all
  size_t sliding_window_layer = 0;  // the first layer that has the window
};

// Input error that names `file`, the key, what was expected; for an unknown architecture the list of those known.
ModelConfig read_config(const TensorFile& file);

}  // namespace occ
