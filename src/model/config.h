// The configuration of a model: its sizes and variants, in one form for config.json (Hugging Face) and GGUF metadata.
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
// Which two elements of a head are rotated together: i and i + rotary_dim / 2 (kHalves), or 2i and 2i + 1 (kAdjacent).
enum class RopePairs { kHalves, kAdjacent };
// What makes one vector of those of a text's tokens: their mean, the vector of the first or of the last one, the largest
// value of each element, their sum / sqrt(tokens), or a mean in which token t = 1, 2, ... weighs t.
enum class Pooling { kMean, kFirst, kLast, kMax, kMeanSqrt, kWeightedMean };

struct ModelConfig {
  std::string architecture;  // Architecture::name of its description: "llama", "qwen2", "gpt2", "bert", ...
  bool encoder = false;      // attention in both directions and no head; such models are loaded by load_encoder
  bool gguf_names = false;   // tensors have the names and the order of rows of GGUF
  // dim: width of the residual stream; heads: query heads; kv_heads: key and value heads; ff_dim: width of the MLP.
  size_t vocab_size = 0, dim = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, ff_dim = 0;
  size_t max_context = 0;  // longest context the model was made for, in tokens, with its rotary scaling
  Norm norm = Norm::kRms;
  float norm_eps = 1e-5f;
  bool tied_embeddings = false;
  Activation activation = Activation::kSilu;
  // Mixture of experts: every layer has `experts` MLPs, and a token goes through the `experts_used` to which the router
  // gives the highest probabilities. Their outputs are weighted by these probabilities; with normalized_experts the
  // weights are divided by their sum. experts = 0: one MLP per layer, no router.
  size_t experts = 0, experts_used = 0;
  bool normalized_experts = true;
  bool parallel_residual = false;  // GPT-NeoX: x + attention(x) + mlp(x)
  // Which biases must be in the file. Other biases are used if the file has them.
  bool qkv_bias = false, attention_output_bias = false, mlp_bias = false;
  // Order of the rows of a fused weight: true: q, k, v of head 0, then of head 1, ...; false: all q, all k, all v.
  bool qkv_by_head = false;
  bool transposed_weights = false;  // weights of linear layers are stored as [in, out]
  // Of texts that are embedded, also by a causal model (read_pooling in sentence_modules.h).
  Pooling pooling = Pooling::kMean;
  bool says_pooling = false;  // the pooling is in the model's files
  bool pools_prompt = true;   // false: the tokens of a prompt do not count
  size_t max_text = 0;        // texts are cut to this number of tokens, at most max_context
  bool lowercase = false;     // texts are put in lower case first

  Position position = Position::kRotary;
  size_t position_offset = 0;  // learned positions: the row of position 0
  // Rotary positions (rope.h) rotate the first rotary_dim elements of each head.
  float rope_theta = 10000;
  size_t rotary_dim = 0;
  RopePairs rope_pairs = RopePairs::kHalves;
  // kDynamic changes nothing up to max_context tokens; longer texts are refused.
  RopeScaling rope_scaling = RopeScaling::kNone;
  float rope_factor = 1;
  float rope_low_freq = 1, rope_high_freq = 4;  // llama3
  size_t rope_original_context = 0;             // llama3, yarn, longrope: context before the scaling
  float rope_attention_factor = 1;              // yarn, longrope: factor of the cosines and sines
  // yarn: the ramp begins at the pair that makes rope_beta_fast turns over the original context and ends at the pair
  // that makes rope_beta_slow turns.
  float rope_beta_fast = 32, rope_beta_slow = 1;
  bool rope_truncate = true;  // yarn: the ramp begins and ends at whole pair numbers
  // Divisors of the frequencies [rotary_dim / 2], empty if there are none. longrope has other divisors
  // (rope_long_factors) for caches of more than rope_original_context tokens. In GGUF they are tensors, which are read
  // together with the weights (read_rope_factors).
  std::vector<float> rope_factors, rope_long_factors;
  size_t sliding_window = 0;        // a token attends to this many positions, including its own; 0: to all
  size_t sliding_window_layer = 0;  // this layer and all later ones have the window

  size_t learned_positions() const { return position_offset + max_context; }
};

// Reads the configuration of a model. Throws an input error that names `file`, the key, what was expected and what was
// found; for an unknown architecture it lists the known ones.
ModelConfig read_config(const TensorFile& file);

}  // namespace occ
