// Scale (and zero point) of one line for `uniform`.
//   absmax: the smallest bf16 scale at which no value clips.
//   mse: the bf16 scale with the least squared error of the line, sought on the integers that bf16 patterns are: a grid
//   of at most 25 from absmax down to where even the mean magnitude would clip, then steps halved down to neighbours.
//   About 30 passes over the line, which stays in the cache.
#pragma once

#include <cstdint>

#include "occ/matrix.h"

namespace occ {

struct UniformFit {
  unsigned bits = 4;
  bool asymmetric = false;
  bool absmax = false;
};
struct UniformChoice {
  float scale = 0;  // exactly a bf16
  int zero = 0;     // asymmetric: zero point, fits an int16
};
// x: any shape, finite. Threads are used if it is large. Zeros or no elements: scale 0.
UniformChoice fit_uniform_line(const UniformFit& how, MatrixView<const float> x);

// Largest scale whose reconstructions are all finite, for codes in [0, max_code].
int max_scale_code(float max_code, float offset);

}  // namespace occ
