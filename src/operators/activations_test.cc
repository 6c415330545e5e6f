// Rounding to int8 and what is set aside, on every SIMD target.
#include "operators/activations.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "occ/matrix.h"
#include "operators/memory_file_for_test.h"
#include "simd/for_each_target_for_test.h"

namespace occ {
namespace {

TEST(Activations, AreRoundedByBlocks) {
  const size_t n = 600;
  Matrix<float> x = normal_matrix(1, n, 1), factors = normal_matrix(1, n, 2);
  for (const bool scaled : {false, true}) {
    for_each_simd_target([&] {
      Matrix<int8_t> q(1, 768);
      std::vector<float> scales(3);
      std::vector<int32_t> sums(24);
      std::vector<Outlier> outliers;
      quantize_activations(x.data(), scaled ? factors.data() : nullptr, n, q.data(), scales.data(), sums.data(),
                           &outliers);
      EXPECT_EQ(outliers.empty(), !scaled);  // products of two normal numbers have longer tails
      std::vector<double> values(768);
      for (size_t c = 0; c < n; ++c) values[c] = double{x(0, c)} * (scaled ? double{factors(0, c)} : 1);
      for (const Outlier& o : outliers) {
        EXPECT_FLOAT_EQ(o.value, static_cast<float>(values[o.col]));
        values[o.col] = 0;
      }
      std::vector<int32_t> expected(24);
      std::vector<double> largest(3);
      for (size_t c = 0; c < 768; ++c) {
        ASSERT_NEAR(scales[c / 256] * q(0, c), values[c], 0.5001 * scales[c / 256]);
        expected[c / 32] += q(0, c);
        largest[c / 256] = std::max(largest[c / 256], std::fabs(values[c]));
      }
      EXPECT_EQ(sums, expected);
      for (size_t b = 0; b < 3; ++b) EXPECT_NEAR(scales[b], largest[b] / 127, 1e-6 * largest[b]);
    });
  }
}

TEST(Activations, OutliersAreSetAside) {
  Matrix<float> x = normal_matrix(1, 600, 1);
  x(0, 3) = 1000;
  x(0, 255) = -20;  // one once the larger is gone
  x(0, 590) = 1e6f;
  Matrix<int8_t> q(1, 768);
  std::vector<float> scales(3);
  std::vector<int32_t> sums(24);
  std::vector<Outlier> outliers;
  quantize_activations(x.data(), nullptr, 600, q.data(), scales.data(), sums.data(), &outliers);
  ASSERT_EQ(outliers.size(), 3u);
  const uint32_t cols[] = {3, 255, 590};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(outliers[i].col, cols[i]);
    EXPECT_EQ(outliers[i].value, x(0, cols[i]));
    EXPECT_EQ(q(0, cols[i]), 0);
  }
  for (const float scale : scales) EXPECT_LT(scale, 4.0 / 127);
}

// Levels hold outliers of any size as exactly as the int8 values hold the others.
TEST(Activations, LevelsOfOutliers) {
  for (const float size : {20.0f, 1e3f, 1e6f, 1e20f}) {
    for (const bool alone : {false, true}) {
      alignas(64) int8_t q[kStripColumns] = {};
      const float scales[] = {alone ? 0 : 0.02f, 0.03f};
      const std::vector<Outlier> outliers = {
          {1024 + 3, size}, {1024 + 200, -0.37f * size}, {1024 + 255, 0.01f * size}, {1024 + 256, 3.7f}};
      std::vector<OutlierLevel> levels;
      split_outliers(outliers, 1024, q, scales, &levels);
      EXPECT_LE(levels.size(), 3u);
      double sums[kStripColumns] = {};
      for (size_t c = 0; c < kStripColumns; ++c) {
        sums[c] = double{scales[c / kBlockColumns]} * q[c];
        for (const OutlierLevel& l : levels) sums[c] += double{l.scales[c / kBlockColumns]} * l.q[c];
      }
      for (const Outlier& o : outliers) {
        const size_t c = o.col - 1024;
        EXPECT_NEAR(sums[c], o.value, std::max(0.5001f * scales[c / kBlockColumns], size * 1e-6f)) << size << alone;
        sums[c] = 0;
      }
      for (const double sum : sums) EXPECT_EQ(sum, 0);
    }
  }
}

TEST(Activations, ThatAreNotFiniteMarkTheirBlock) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    Matrix<float> x = normal_matrix(1, 512, 1);
    x(0, 99) = bad;
    for (size_t c = 256; c < 512; ++c) x(0, c) = c == 300 ? 1e-40f : 0;  // zeros, and what counts as zero
    for_each_simd_target([&] {
      Matrix<int8_t> q(1, 512);
      std::vector<float> scales(2);
      std::vector<int32_t> sums(16);
      std::vector<Outlier> outliers;
      quantize_activations(x.data(), nullptr, 512, q.data(), scales.data(), sums.data(), &outliers);
      EXPECT_TRUE(std::isnan(scales[0]));
      EXPECT_EQ(scales[1], 0);
      for (size_t c = 0; c < 512; ++c) EXPECT_EQ(q(0, c), 0);
    });
  }
}

}  // namespace
}  // namespace occ
