// Rotary positions (Su et al. 2021, arXiv 2104.09864): every pair of elements of a query or key head is rotated by the
// angle position * frequency, in radians.
//
// The frequency of pair i is theta^(-2i / rotary_dim), changed by the scaling of the model:
//   linear    all frequencies are divided by a factor (Chen et al. 2023, arXiv 2306.15595);
//   llama3    low frequencies are divided by a factor, high ones are kept, with a ramp between them (Llama 3.1);
//   yarn      the same with a ramp over the pairs; cosines and sines are scaled (Peng et al. 2023, arXiv 2309.00071);
//   longrope  every pair has a divisor of its own (Ding et al. 2024, arXiv 2402.13753).
#pragma once

#include <vector>

#include "model/config.h"
#include "occ/matrix.h"

namespace occ {

class Rope {
 public:
  Rope() = default;
  // long_context: the frequencies for caches of more than rope_original_context tokens, which differ for longrope only.
  Rope(const ModelConfig& config, bool long_context);

  // Writes to out [2 * pairs()] the cosines and then the sines of the angles of all pairs at `position`, multiplied by
  // rope_attention_factor.
  void table_row(size_t position, float* out) const;
  size_t pairs() const { return frequencies_.size(); }
  // Those of layers with LayerKind::local_rope.
  static Rope local(const ModelConfig& config);

  const std::vector<double>& frequencies() const { return frequencies_; }  // radians per position, of each pair

 private:
  std::vector<double> frequencies_;
  double scale_ = 1;
};

}  // namespace occ
