// Chooses the scale (and the zero point) of `uniform` for one line, the values that share a scale.
//   absmax  the smallest bf16 scale at which no value is clipped
//   mse     the bf16 scale with the least squared error, searched among bf16 patterns as integers: first at most 25
//           patterns between that of absmax and the one at which even the mean magnitude would be clipped, then with
//           steps that are halved until they are one. About 30 passes over the line, which stays in the cache.
#pragma once

#include <cstdint>

#include "occ/matrix.h"

namespace occ {

// Returns the code (tensor/bf16_scales.h) of the largest scale for which all levels scale * (q - offset), 0 <= q <=
// max_code, are finite.
int max_scale_code(float max_code, float offset);

struct UniformFit {
  UniformFit(unsigned bits, bool is_asymmetric, bool is_absmax);
  bool asymmetric, absmax;
  float max_code;         // 2^bits - 1
  double per_half_range;  // 2 / max_code; the symmetric scale of absmax is this times the largest magnitude
  int symmetric_limit;    // max_scale_code() for symmetric levels
};
struct UniformChoice {
  float scale = 0;  // exact in bf16
  int zero = 0;     // zero point in the range of int16; only if asymmetric
};
// Chooses scale and zero point for the line x, a finite matrix of any shape. Uses several threads if it is large. The
// scale is 0 if x is empty or all zeros.
UniformChoice fit_uniform_line(const UniformFit& how, MatrixView<const float> x);

}  // namespace occ
