// Products of integers that have a factor for every row and group of columns with int8 activations. The integers are
// bytes k' as unpack_strip() writes them. Sums of integers are exact, as in strip.cc.
#pragma once

#include <cstddef>
#include <cstdint>

namespace occ {

struct BlockDots {
  const uint8_t* k = nullptr;  // [rows, 512]: 64, 128 or 256 columns of them, with room for a multiple of 4 rows
  size_t rows = 0;
  size_t cols = 0;
  unsigned most = 0;              // no k' is larger
  size_t batch = 0;               // number of inputs
  const int8_t* x = nullptr;      // the columns in the first input, aligned to 64 bytes
  size_t x_stride = 0;            // from one input to the next
  const float* scales = nullptr;  // the scale of the columns in the first input
  size_t scale_stride = 0;        // from one input to the next
  float* y = nullptr;             // [batch, 64]
};
// y[b][r] += scale[b] sum_s factors[r * factor_stride + s] sum_{c in segment s} k'[r][c] x[b][c], where a segment has
// 32, 64, 128 or 256 columns.
void segment_dots(const BlockDots& block, size_t segment_columns, const float* factors, size_t factor_stride);

}  // namespace occ
