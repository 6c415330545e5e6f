// Checks the gaussian_nmse for normal values (docs/explanation/methods/kashin.md), and decoding against its definition.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "quantization/kashin_basis.h"
#include "quantization/quantizer_for_test.h"
#include "tensor/dtype.h"

namespace occ {
namespace {

double gaussian_nmse(const Params::Given& given) {
  const Matrix<float> x = normal_matrix(192, 1024, 9);
  return nmse_oracle(x.view(), quantize_whole(*QuantizerCase{"kashin", given}.fit(x.view()), x.view()).values.view());
}

TEST(Kashin, HasTheDistortionOfThePaperWithoutRounds) {
  const double plain = gaussian_nmse({{"rounds", "0"}});
  EXPECT_GT(plain, 0.0160);
  EXPECT_LT(plain, 0.019);
}

// Measured nmse: .0122, .0274, .0085 and .084. Lloyd-Max has .0345 at 3 bits, .0095 at 4 bits and .1175 at 2 bits.
TEST(Kashin, RoundsMakeItBetter) {
  EXPECT_NEAR(gaussian_nmse({{"start", "pair"}}), 0.0122, 0.0004);
  EXPECT_NEAR(gaussian_nmse({{"start", "pair"}, {"relax", "0"}}), 0.0137, 0.0004);
  EXPECT_NEAR(gaussian_nmse({{"v", "1"}, {"start", "pair"}}), 0.0274, 0.0008);
  EXPECT_NEAR(gaussian_nmse({{"u", "3"}, {"v", "1"}, {"shrink", "0.1"}}), 0.0083, 0.0004);
  EXPECT_NEAR(gaussian_nmse({{"u", "1"}, {"v", "1"}, {"shrink", "0.5"}}), 0.085, 0.003);
  EXPECT_NEAR(gaussian_nmse({{"basis", "hadamard"}, {"start", "pair"}}), 0.0122, 0.0005);
}

// Measured nmse: .0168 and .0120. Blocks of 64 columns have fewer signs to choose from: .0310 instead of .0274.
TEST(Kashin, ClustersAndBlocks) {
  EXPECT_NEAR(gaussian_nmse({{"rounds", "0"}, {"clusters", "joint"}}), 0.0168, 0.0006);
  EXPECT_NEAR(gaussian_nmse({{"start", "pair"}, {"clusters", "joint"}}), 0.0120, 0.0005);
  EXPECT_NEAR(gaussian_nmse({{"v", "1"}, {"start", "pair"}, {"block", "64"}}), 0.0310, 0.001);
  EXPECT_NEAR(gaussian_nmse({{"v", "1"}, {"start", "pair"}, {"block", "256"}, {"basis", "orthogonal"}}), 0.0290, 0.002);
}

TEST(Kashin, TheSeededBasisIsOrthonormal) {
  for (const size_t n : {1, 2, 37, 200}) {
    const Matrix<float> q = seeded_orthogonal(n, 5);
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        double sum = 0;
        for (size_t k = 0; k < n; ++k) sum += double(q(i, k)) * double(q(j, k));
        ASSERT_NEAR(sum, i == j ? 1 : 0, 1e-6) << n;
      }
    }
  }
  EXPECT_FALSE(same_floats(seeded_orthogonal(37, 5).view(), seeded_orthogonal(37, 6).view()));
}

// Uses <w, x> = <p_0, x> + <p_1, Q^T x>.
TEST(Kashin, PartsMakeTheSameProducts) {
  const Matrix<float> w = normal_matrix(21, 100, 6, 2), x = normal_matrix(18, 100, 7);
  for (const Params::Given& given : {Params::Given{{"rounds", "2"}}, Params::Given{{"block", "48"}, {"rounds", "2"}},
                                     Params::Given{{"basis", "hadamard"}, {"clusters", "joint"}, {"rounds", "2"}},
                                     Params::Given{{"basis", "orthogonal"}, {"block", "64"}, {"rounds", "2"}}}) {
    const auto quantizer = QuantizerCase{"kashin", given}.fit(w.view());
    const Coded coded = quantize_whole(*quantizer, w.view());
    ASSERT_EQ(quantizer->part_count(), 2);
    Matrix<float> parts(21, 200), inputs(18, 200);
    quantizer->parts({0, 0, 21, 100}, coded.const_planes(), parts.view());
    quantizer->part_inputs(x.view(), inputs.view());
    for (size_t r = 0; r < 21; ++r) {
      for (size_t b = 0; b < 18; ++b) {
        double wanted = 0, found = 0;
        for (size_t c = 0; c < 100; ++c) wanted += double(coded.values(r, c)) * double(x(b, c));
        for (size_t c = 0; c < 200; ++c) found += double(parts(r, c)) * double(inputs(b, c));
        ASSERT_NEAR(found, wanted, 1e-3);
      }
    }
  }
}

// Computes x = s (u + Q v) with the inverse DCT Q as a plain sum.
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
