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
enum class RopeScaling { kNone, kLinear, kLlama3, kYarn, kLongRope };

struct ModelConfig {
  std::string architecture;  // name of the description in architectures.cc: "llama", "qwen2", "gpt2", "bert", ...
  bool gguf_names = false;   // tensors have GGUF's names and row order
  size_t vocab_size = 0, dim = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, ff_dim = 0;
  size_t max_context = 0;  // positions the model was made for, scaling included
  float norm_eps = 1e-5f;
  bool tied_embeddings = false;
  Activation activation = Activation::kSilu;
  // Rotary positions: the first rotary_dim elements of each head.
  float rope_theta = 10000;
  size_t rotary_dim = 0;
  RopeScaling rope_scaling = RopeScaling::kNone;
  float rope_factor = 1;
  float rope_low_freq = 1, rope_high_freq = 4;  // llama3
  size_t rope_original_context = 0;             // llama3, yarn
  float rope_attention_factor = 1;              // yarn, longrope: scale of cos and sin
  float rope_beta_fast = 32, rope_beta_slow = 1;
  std::vector<float> rope_factors;  // one per frequency: longrope, or GGUF's rope_freqs.weight
  size_t sliding_window = 0;        // 0: none; Mistral
  bool parallel_residual = false;   // GPT-NeoX
};

// Input error that names `file`, the key, what was expected; for an unknown architecture the list of those known.
ModelConfig read_config(const TensorFile& file);

}  // namespace occ
