// kashin: its distortion on normal values (docs/methods/kashin.md), and decoding by the definition.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "quantization/quantizer_for_test.h"
#include "tensor/dtype.h"

namespace occ {
namespace {

double distortion(const Params::Given& given) {
  const Matrix<float> x = normal_matrix(192, 1024, 9);
  return nmse_oracle(x.view(), quantize_whole(*QuantizerCase{"kashin", given}.fit(x.view()), x.view()).values.view());
}

TEST(Kashin, HasTheDistortionOfThePaperWithoutRounds) {
  const double plain = distortion({{"rounds", "0"}});
  EXPECT_GT(plain, 0.0160);
  EXPECT_LT(plain, 0.019);
}

// Measured .0122, .0274, .0085, .084; Lloyd-Max has .0345 at 3 bits, .0095 at 4 and .1175 at 2.
TEST(Kashin, RoundsMakeItBetter) {
  EXPECT_NEAR(distortion({{"start", "pair"}}), 0.0122, 0.0004);
  EXPECT_NEAR(distortion({{"start", "pair"}, {"relax", "0"}}), 0.0137, 0.0004);
  EXPECT_NEAR(distortion({{"v", "1"}, {"start", "pair"}}), 0.0274, 0.0008);
  EXPECT_NEAR(distortion({{"u", "3"}, {"v", "1"}, {"shrink", "0.1"}}), 0.0083, 0.0004);
  EXPECT_NEAR(distortion({{"u", "1"}, {"v", "1"}, {"shrink", "0.5"}}), 0.085, 0.003);
  EXPECT_NEAR(distortion({{"basis", "hadamard"}, {"start", "pair"}}), 0.0122, 0.0005);
}

// x = s (u + Q v), Q the inverse DCT by its sum.
TEST(Kashin, DecodesByTheDefinition) {
  constexpr size_t kRows = 5, kCols = 24;
  const Matrix<float> x = normal_matrix(kRows, kCols, 4, 3);
  const auto quantizer = QuantizerCase{"kashin", {{"rounds", "2"}}}.fit(x.view());
  const Coded coded = quantize_whole(*quantizer, x.view());
  const Bytes side = side_bytes(*quantizer);
  float levels[8];
  uint16_t scales[kRows];
  ASSERT_EQ(side.size(), sizeof(levels) + sizeof(scales));
  std::memcpy(levels, side.data(), sizeof(levels));
  std::memcpy(scales, side.data() + sizeof(levels), sizeof(scales));
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t c = 0; c < kCols; ++c) {
      double sum = double(levels[coded.symbols[0](r, c)]);
      for (size_t k = 0; k < kCols; ++k) {
        const double cosine = std::cos(std::numbers::pi * double(2 * c + 1) * double(k) / (2 * kCols));
        sum += double(levels[4 + coded.symbols[1](r, k)]) * cosine * std::sqrt((k == 0 ? 1.0 : 2.0) / kCols);
      }
      ASSERT_NEAR(double(coded.values(r, c)), sum * double(bf16_to_f32(scales[r])), 1e-4);
    }
  }
}

}  // namespace
}  // namespace occ
