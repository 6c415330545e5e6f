// Conversions between floats and half-precision formats. simd/convert_test.cc compares the f16 ones with the definition
// on every SIMD target; here the two forms, bulk and scalar, and bf16.
#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "base/rng.h"

namespace occ {
namespace {

std::vector<float> random_floats() {
  std::vector<float> values = {0.0f,     -0.0f,  INFINITY, -INFINITY, NAN,     3.4e38f,
                               -3.4e38f, 1e-45f, -1e-39f,  65519.9f,  65520.0f};
  for (uint64_t i = 0; i < 200000; ++i) {
    auto bits = static_cast<uint32_t>(random_word(1, i));
    if (i % 4 == 0) bits = (bits & 0xffff0000) | 0x8000;      // a tie for bf16
    if (i % 4 == 1) bits = (bits & 0x8fffe000) | 0x30001000;  // often a tie for f16
    values.push_back(std::bit_cast<float>(bits));
  }
  return values;
}

// Oracle: the nearer of the two neighbours, even mantissa on a tie.
uint16_t nearest_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto low = static_cast<uint16_t>(bits >> 16);
  if (std::isnan(value)) return low | 0x40;
  if ((bits & 0xffff) == 0) return low;
  const uint32_t rest = bits & 0xffff;
  const bool up = rest > 0x8000 || (rest == 0x8000 && (low & 1) != 0);
  return static_cast<uint16_t>(low + (up ? 1 : 0));
}

TEST(DTypeConversion, AllBitPatternsOfBothFormats) {
  std::vector<uint16_t> half(65536), back(65536);
  for (size_t i = 0; i < half.size(); ++i) half[i] = static_cast<uint16_t>(i);
  std::vector<float> value(half.size());
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const bool f16 = dtype == DType::kF16;
    convert_to_f32(dtype, half.data(), value.data(), half.size());
    convert_from_f32(dtype, value.data(), back.data(), half.size());
    for (size_t i = 0; i < half.size(); ++i) {
      const float scalar = f16 ? f16_to_f32(half[i]) : bf16_to_f32(half[i]);
      ASSERT_EQ(std::bit_cast<uint32_t>(value[i]), std::bit_cast<uint32_t>(scalar)) << i;
      if (std::isnan(scalar)) {
        ASSERT_TRUE(std::isnan(f16 ? f16_to_f32(back[i]) : bf16_to_f32(back[i]))) << i;
      } else {
        ASSERT_EQ(back[i], half[i]) << i;
      }
    }
  }
}

TEST(DTypeConversion, BulkRoundsLikeScalar) {
  const auto values = random_floats();
  std::vector<uint16_t> half(values.size()), brain(values.size());
  convert_from_f32(DType::kF16, values.data(), half.data(), values.size());
  convert_from_f32(DType::kBF16, values.data(), brain.data(), values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(half[i], f32_to_f16(values[i])) << values[i];
    ASSERT_EQ(brain[i], f32_to_bf16(values[i])) << values[i];
    ASSERT_EQ(brain[i], nearest_bf16(values[i])) << values[i];
  }
}

TEST(DTypeConversion, RoundingUpNeverLosesMagnitude) {
  for (const float v : random_floats()) {
    if (!std::isfinite(v)) continue;
    const float up = bf16_to_f32(f32_to_bf16_up(v));
    ASSERT_GE(std::fabs(up), std::fabs(v));
    ASSERT_EQ(std::signbit(up), std::signbit(v));
    if (std::bit_cast<uint32_t>(v) % 65536 == 0) {
      ASSERT_EQ(up, v);
    }
  }
}

TEST(DTypeConversion, IntegersAndDoubles) {
  const std::vector<int64_t> large = {0, -1, 1 << 24, (1 << 24) + 1, -(int64_t{1} << 40)};
  std::vector<float> out(large.size());
  convert_to_f32(DType::kI64, large.data(), out.data(), large.size());
  EXPECT_EQ(out, (std::vector<float>{0, -1, 0x1p24f, 0x1p24f, -0x1p40f}));
  const std::vector<int8_t> small = {-128, -1, 0, 1, 127};
  convert_to_f32(DType::kI8, small.data(), out.data(), small.size());
  EXPECT_EQ(out, (std::vector<float>{-128, -1, 0, 1, 127}));
  std::vector<double> wide(out.size());
  convert_from_f32(DType::kF64, out.data(), wide.data(), out.size());
  EXPECT_EQ(wide, (std::vector<double>{-128, -1, 0, 1, 127}));
}

}  // namespace
}  // namespace occ
