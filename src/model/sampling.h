// SAMPLE: chooses the next token from logits.
#pragma once

#include <span>
#include <vector>

#include "base/rng.h"
#include "tokenizer/tokenizer.h"

namespace occ {

struct SamplingOptions {
  float temperature = 0;  // 0: the most likely token, of equal ones the lowest id
  size_t top_k = 0;       // only the k most likely; 0: all
  float top_p = 1;        // only the most likely ones that together reach probability p
  uint64_t seed = 0;
};

// top_k, then temperature, then top_p, as most programs do it.
class Sampler {
 public:
  // Usage error unless temperature >= 0 and 0 < top_p <= 1.
  explicit Sampler(const SamplingOptions& options);
  TokenId next(std::span<const float> logits);

 private:
  SamplingOptions options_;
  Rng rng_;
  std::vector<std::pair<float, TokenId>> candidates_;
};

}  // namespace occ
