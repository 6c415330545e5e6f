#include "simd/convert.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/rng.h"
#include "simd/for_each_target_for_test.h"

namespace occ {
namespace {

// Oracle: the value of a half by its definition.
double half_value(uint16_t half) {
  const int exponent = (half >> 10) & 31, fraction = half & 1023;
  const double magnitude = exponent == 31  ? (fraction != 0 ? NAN : INFINITY)
                           : exponent == 0 ? std::ldexp(fraction, -24)
                                           : std::ldexp(1024 + fraction, exponent - 25);
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

// Oracle: round to nearest even by searching the neighbours among all halves (finite ones and infinity as 65,536).
uint16_t nearest_half(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return sign | 0x7e00;
  const double x = std::fabs(static_cast<double>(value));
  const auto magnitude = [](unsigned h) { return h == 0x7c00 ? 65536.0 : half_value(static_cast<uint16_t>(h)); };
  unsigned low = 0, high = 0x7c00;  // magnitude(low) <= x, if x is in range
  if (x >= 65536) return sign | 0x7c00;
  while (high - low > 1) {
    const unsigned middle = (low + high) / 2;
    (magnitude(middle) <= x ? low : high) = middle;
  }
  const double to_low = x - magnitude(low), to_high = magnitude(high) - x;
  const bool up = to_high < to_low || (to_high == to_low && low % 2 == 1);
  return static_cast<uint16_t>(sign | (up ? high : low));
}

TEST(F16, AllBitPatternsBothWays) {
  std::vector<uint16_t> half(65536), back(65536);
  for (size_t i = 0; i < half.size(); ++i) half[i] = static_cast<uint16_t>(i);
  std::vector<float> value(half.size());
  for_each_simd_target([&] {
    f16_to_f32_bulk(half.data(), value.data(), half.size());
    f32_to_f16_bulk(value.data(), back.data(), half.size());
    for (size_t i = 0; i < half.size(); ++i) {
      const double expected = half_value(half[i]);
      ASSERT_EQ(std::signbit(value[i]), half[i] >> 15) << i;
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(value[i])) << i;
        ASSERT_EQ(back[i], (half[i] & 0x8000) | 0x7e00) << i;
      } else {
        ASSERT_EQ(value[i], expected) << i;
        ASSERT_EQ(back[i], half[i]) << i;
      }
    }
  });
}

TEST(F16, RoundsLikeTheOracle) {
  std::vector<float> values = {0.0f,     -0.0f,      INFINITY, -INFINITY, NAN,    -NAN,
                               65504.0f, 65519.996f, 65520.0f, 3e38f,     1e-45f, -1e-40f};
  for (unsigned h = 0; h < 0x7c00; ++h) {  // ties between neighbours, and the floats beside them
    const auto tie = static_cast<float>(
        (half_value(static_cast<uint16_t>(h)) + (h == 0x7bff ? 65536.0 : half_value(static_cast<uint16_t>(h + 1)))) /
        2);
    for (const float v : {tie, std::nextafter(tie, 0.0f), std::nextafter(tie, 1e6f)})
      values.push_back(h % 2 != 0 ? v : -v);
  }
  for (uint64_t i = 0; i < 100000; ++i)
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(random_word(1, i))));
  std::vector<uint16_t> half(values.size());
  for_each_simd_target([&] {
    f32_to_f16_bulk(values.data(), half.data(), values.size());
    for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(half[i], nearest_half(values[i])) << values[i];
  });
}

TEST(F16, AnyLengthAndAlignment) {
  for_each_simd_target([&] {
    for (size_t n = 0; n < 70; ++n) {
      std::vector<uint8_t> bytes(2 * n + 3, 0xaa), back(2 * n + 3, 0xaa);
      for (size_t i = 0; i < n; ++i) {
        const auto half = static_cast<uint16_t>(0x3c00 + i);
        std::memcpy(bytes.data() + 1 + 2 * i, &half, 2);
      }
      std::vector<float> value(n + 1, -7.0f);
      f16_to_f32_bulk(bytes.data() + 1, value.data(), n);
      for (size_t i = 0; i < n; ++i) ASSERT_EQ(value[i], 1.0f + static_cast<float>(i) / 1024);
      ASSERT_EQ(value[n], -7.0f);
      f32_to_f16_bulk(value.data(), back.data() + 1, n);
      ASSERT_EQ(bytes, back);
    }
  });
}

}  // namespace
}  // namespace occ
