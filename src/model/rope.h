// Rotary positions (Su et al. 2021): a pair of elements of a head turns by position * frequency.
//
//   frequency of pair i = theta^(-2i / rotary_dim), changed by the scaling of the model: linear (Chen et al. 2023),
//   llama3 (low frequencies divided by the factor, a ramp between), yarn (Peng et al. 2023: a ramp over the pairs; cos
//   and sin scaled), longrope (Ding et al. 2024: a divisor for every pair).
#pragma once

#include <vector>

#include "model/config.h"
#include "occ/matrix.h"

namespace occ {

class Rope {
 public:
  Rope() = default;
  // Frequencies for caches of more (`long_context`) or at most rope_original_context tokens; they differ for longrope.
  Rope(const ModelConfig& config, bool long_context);

  // out [2 * pairs()]: cosines, then sines, of the angles of all pairs at `position`, times
  // rope_attention_factor.
  void table_row(size_t position, float* out) const;
  size_t pairs() const { return frequencies_.size(); }
  const std::vector<double>& frequencies() const { return frequencies_; }  // radians per position, of each pair

 private:
  std::vector<double> frequencies_;
  double scale_ = 1;
};

}  // namespace occ
