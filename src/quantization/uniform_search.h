// Scale (and zero point) of one line for `uniform`.
//   absmax: the smallest bf16 scale at which no value clips.
//   mse: the bf16 scale with the least squared error of the line, sought on the integers that bf16 patterns are: a grid
//   of at most 25 from absmax down to where even the mean magnitude would clip, then steps halved down to neighbours.
//   About 30 passes over the line, which stays in the cache.
#pragma once

#include <cstdint>

#include "occ/matrix.h"

namespace occ {

// Largest code of a scale whose reconstructions are all finite, for codes in [0, max_code].
int max_scale_code(float max_code, float offset);

struct UniformFit {
  UniformFit(unsigned bits, bool is_asymmetric, bool is_absmax);
  bool asymmetric, absmax;
  float max_code;         // 2^bits - 1
  double per_half_range;  // 2 / max_code: symmetric step per largest magnitude
  int symmetric_limit;    // max_scale_code of the symmetric levels
};
struct UniformChoice {
  float scale = 0;  // exactly a bf16
  int zero = 0;     // asymmetric: zero point, fits an int16
};
// x: any shape, finite. Threads are used if it is large. Zeros or no elements: scale 0.
UniformChoice fit_uniform_line(const UniformFit& how, MatrixView<const float> x);

}  // namespace occ
