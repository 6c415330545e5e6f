// Scales as they are stored: bf16, two bytes for the full range of f32 at 8 bits of precision; in memory as the floats
// that they stand for. A scale is made, limited, written and read here for every stage that has one a row or a group.
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

// bf16 patterns of the numbers >= 0 are ordered like the numbers: scales are searched on these integers.
constexpr int kMaxScaleCode = 0x7f7f;
// Smallest code whose scale is >= value, or the largest code.
inline int scale_code_up(double value) {
  if (!(value > 0)) return 0;
  if (value > FLT_MAX) return kMaxScaleCode;
  const float rounded = static_cast<float>(value);
  const uint32_t bits = std::bit_cast<uint32_t>(rounded) + (static_cast<double>(rounded) < value);
  return std::min(static_cast<int>((bits + 0xffff) >> 16), kMaxScaleCode);
}
// Largest code whose scale is <= value.
inline int scale_code_down(double value) {
  if (!(value > 0)) return 0;
  if (value > FLT_MAX) return kMaxScaleCode;
  const float rounded = static_cast<float>(value);
  return static_cast<int>((std::bit_cast<uint32_t>(rounded) - (static_cast<double>(rounded) > value)) >> 16);
}
int scale_code_near(double value);  // nearest; 0 for what is not > 0
inline float scale_of(int code) { return std::bit_cast<float>(static_cast<uint32_t>(code) << 16); }

// x / scale as (x * pre) * inverse, where both factors are finite even if 1 / scale is not. scale = 0: (0, 0).
struct Reciprocal {
  float pre = 0, inverse = 0;
};
inline Reciprocal reciprocal_of(float scale) {
  if (scale <= 0) return {};
  if (scale < 0x1p-96f) return {0x1p64f, 1 / (scale * 0x1p64f)};
  return {1, 1 / scale};
}

// sum x^2 / n, n > 0, in eight sums over x_j, x_(j+8), ..., added in order: part of the format (stage rownorm). Doubles
// hold the square of any float.
double mean_square(const float* x, size_t n);
// The rms of every row, rounded to a stored scale of at most scale_of(limit); 0 only for rows of zeros.
std::vector<float> rms_scales(MatrixView<const float> x, int limit = kMaxScaleCode);
// The stored scale nearest to `scale`, at most scale_of(limit).
inline float stored_scale(float scale, int limit) {
  return scale_of(std::min(scale_code_near(static_cast<double>(scale)), limit));
}

void put_scales(const std::vector<float>& scales, ByteWriter& out);
// Input error unless there are `count` finite scales from 0 to scale_of(limit).
std::vector<float> get_scales(size_t count, ByteReader& side, int limit = kMaxScaleCode);
// Input error that says why a scale is above its limit.
[[noreturn]] void throw_scale_too_large(const ByteReader& side, size_t index);

}  // namespace occ
