// The configuration of a model: its sizes and variants, in one form for config.json (Hugging Face) and GGUF metadata.
#pragma once

#include <cmath>
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

// What may differ between the layers of a model.
struct LayerKind {
  size_t window = 0;        // a token attends to this many positions, including its own; 0: to all
  bool rotates = true;      // whether rotary positions are applied to queries and keys
  bool local_rope = false;  // the frequencies are those of rope_local_theta, without scaling
  bool operator==(const LayerKind&) const = default;
};

struct ModelConfig {
  std::string architecture;  // Architecture::name of its description: "llama", "qwen2", "gpt2", "bert", ...
  bool encoder = false;      // no head; such models are loaded by load_encoder
  bool causal = true;        // a token attends to no later ones
  bool gguf_names = false;   // tensors have the names and the order of rows of GGUF
  // dim: width of the residual stream; heads: query heads; kv_heads: key and value heads; ff_dim: width of the MLP.
  size_t vocab_size = 0, dim = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, ff_dim = 0;
  size_t max_context = 0;  // longest context the model was made for, in tokens, with its rotary scaling
  Norm norm = Norm::kRms;
  float norm_eps = 1e-5f;
  bool norm_adds_one = false;        // the factor of a norm is 1 + its weight, those of heads included
  bool norms_residual_sums = false;  // BERT: x = norm(x + attention(x)), where others have x += attention(norm(x))
  bool norms_whole_queries = false;  // norms of queries and keys go over all heads together, not over each head
  float embedding_scale = 1;         // factor of the token embeddings
  float attention_scale = 0;         // factor of the scores; 0: 1 / sqrt(head_dim)
  float residual_scale = 1;          // factor of what attention and MLP add to the residual stream
  float logit_scale = 1;             // factor of the logits
  // A soft cap c makes c tanh(s / c) of a score or logit s, after its factor. 0: none.
  float attention_softcap = 0, logit_softcap = 0;
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
  float rope_local_theta = 10000;  // for layers with LayerKind::local_rope
  // Queries at position p are multiplied by 1 + query_growth ln(1 + floor(p / rope_original_context)). 0: not at all.
  float query_growth = 0;
  std::vector<LayerKind> layer_kinds;  // of layers 0, 1, ...; those behind its end are of the default kind

  LayerKind layer_kind(size_t layer) const { return layer < layer_kinds.size() ? layer_kinds[layer] : LayerKind{}; }
  float score_scale() const {
    return attention_scale != 0 ? attention_scale : 1 / std::sqrt(static_cast<float>(head_dim));
  }
  size_t learned_positions() const { return position_offset + max_context; }
};

// Reads the configuration of a model. Throws an input error that names `file`, the key, what was expected and what was
// found; for an unknown architecture it lists the known ones.
ModelConfig read_config(const TensorFile& file);

}  // namespace occ
