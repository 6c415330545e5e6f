// Sampling: chooses the next token from the logits of a model.
#pragma once

#include <span>
#include <vector>

#include "base/rng.h"
#include "tokenizer/tokenizer.h"

namespace occ {

struct SamplingOptions {
  float temperature = 0;  // 0: the most likely token; of equally likely ones that with the lowest id
  size_t top_k = 0;       // chooses among the k most likely tokens; 0: among all
  float top_p = 1;        // chooses among the most likely tokens whose probabilities add up to p
  uint64_t seed = 0;
};

// Applies top_k first, then the temperature, then top_p. The same seed and logits give the same tokens.
class Sampler {
 public:
  // Throws a usage error unless the temperature is finite and >= 0, and 0 < top_p <= 1.
  explicit Sampler(const SamplingOptions& options);
  // logits [vocab_size], not empty. Throws an input error if one of them is NaN.
  TokenId next(std::span<const float> logits);

 private:
  SamplingOptions options_;
  Rng rng_;
  std::vector<std::pair<float, TokenId>> candidates_;
};

}  // namespace occ
