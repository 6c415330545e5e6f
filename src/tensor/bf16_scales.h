// Scales of rows, columns or groups. They are stored as bf16, which has the range of f32 and 8 bits of precision in two
// bytes, and kept in memory as the floats that the bf16 stand for.
#pragma once

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "occ/matrix.h"

namespace occ {

// The code of a scale is the bit pattern of its bf16, read as an integer. For numbers >= 0 the codes have the same
// order as the numbers, so that the best scale can be searched among integers. This is the code of the largest finite
// bf16.
constexpr int kMaxScaleCode = 0x7f7f;
// The smallest code whose scale is >= value, or the largest code.
inline int scale_code_up(double value) {
  if (!(value > 0)) return 0;
  if (value > FLT_MAX) return kMaxScaleCode;
  const float rounded = static_cast<float>(value);
  const uint32_t bits = std::bit_cast<uint32_t>(rounded) + (static_cast<double>(rounded) < value);
  return std::min(static_cast<int>((bits + 0xffff) >> 16), kMaxScaleCode);
}
// The largest code whose scale is <= value.
inline int scale_code_down(double value) {
  if (!(value > 0)) return 0;
  if (value > FLT_MAX) return kMaxScaleCode;
  const float rounded = static_cast<float>(value);
  return static_cast<int>((std::bit_cast<uint32_t>(rounded) - (static_cast<double>(rounded) > value)) >> 16);
}
// The code of the scale nearest to value; 0 for values that are not > 0.
int scale_code_near(double value);
// The scale of a code.
inline float scale_of(int code) { return std::bit_cast<float>(static_cast<uint32_t>(code) << 16); }

// Two factors with which x / scale is computed as (x * pre) * inverse. Both are finite even if 1 / scale is not. For
// scale = 0 both are 0.
struct Reciprocal {
  float pre = 0, inverse = 0;
};
inline Reciprocal reciprocal_of(float scale) {
  if (scale <= 0) return {};
  if (scale < 0x1p-96f) return {0x1p64f, 1 / (scale * 0x1p64f)};
  return {1, 1 / scale};
}

// The mean of the squares of n > 0 values. It is computed as eight sums, the j-th over x_j, x_(j+8), ..., which are
// then added in order. This order is part of the file format (stage rownorm). The squares cannot overflow, because a
// double can hold the square of any float.
double mean_square(const float* x, size_t n);
// The root mean square of every row, as a vector of length rows, rounded to a scale that is at most scale_of(limit). It
// is 0 only for rows of zeros.
std::vector<float> rms_scales(MatrixView<const float> x, int limit = kMaxScaleCode);
// The bf16 scale nearest to `scale`, at most scale_of(limit).
inline float stored_scale(float scale, int limit) {
  return scale_of(std::min(scale_code_near(static_cast<double>(scale)), limit));
}

// Writes the codes of the scales, two bytes each. Each scale must be exactly a bf16.
void put_scales(const std::vector<float>& scales, ByteWriter& out);
// Reads `count` scales. Input error unless all are there and are between 0 and scale_of(limit).
std::vector<float> get_scales(size_t count, ByteReader& side, int limit = kMaxScaleCode);
// Throws the input error for scale number `index`, which is so large that decoded values would overflow.
[[noreturn]] void throw_scale_too_large(const ByteReader& side, size_t index);

}  // namespace occ
