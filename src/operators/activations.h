// Activations as int8, and what is kept beside them so that large ones do not make the steps of the others larger.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "operators/strip.h"

namespace occ {

constexpr size_t kSegmentColumns = 32;  // sums of q are taken over so many columns

// Quantizes x [n] times factors [n] (null: ones) to int8 in blocks of 256 columns: x = scale * q with the scale max |x|
// / 127, or NaN if the block holds NaN or Inf. q [blocks * 256] is padded with zeros, scales [blocks], and sums [blocks
// * 8] are the sums of q over groups of 32 columns. A value of kOutlier times the rms of its block or more would leave
// few levels to the others, so it is appended to `outliers` in f32 instead; then the same is done with the rms of the
// rest, until there is no such value.
constexpr float kOutlier = 5;
constexpr float kLeastActivation = 1e-35f;  // what is not larger counts as 0
struct Outlier {
  uint32_t col = 0;
  float value = 0;
};
void quantize_activations(const float* x, const float* factors, size_t n, int8_t* q, float* scales, int32_t* sums,
                          std::vector<Outlier>* outliers);

// Outliers of a strip as more int8 activations of its columns: outlier = sum over levels of scale * q. Each level takes
// the rounding errors of the one before, down to what the int8 values of the others can hold, which take the rest: an
// outlier then has the absolute error of its neighbours. Three levels hold more than the 24 bits of a float.
struct OutlierLevel {
  alignas(64) int8_t q[kStripColumns] = {};
  float scales[2] = {};
};
// outliers: of the columns `first` to first + 511, sorted. q: the activations from column `first` on, which are 0 at
// outliers, and their scales (of two blocks of 256 columns); q gets what is left. Appends to `levels`.
void split_outliers(std::span<const Outlier> outliers, size_t first, int8_t* q, const float* scales,
                    std::vector<OutlierLevel>* levels);

}  // namespace occ
