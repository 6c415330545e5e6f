// Compares the tree with its definition, its variances with theory, and the error with what these variances predict.
#include "quantization/qet.h"

#include <gtest/gtest.h>

#include <cmath>

#include "hwy/targets.h"
#include "quantization/entanglement_tree.h"
#include "quantization/quantizer_for_test.h"

namespace occ {
namespace {

// One level as the paper describes it: each part is split into the smaller and the larger values of its pairs.
std::vector<std::vector<float>> split_oracle(const std::vector<std::vector<float>>& parts, std::vector<Symbol>* order) {
  std::vector<std::vector<float>> out;
  for (const std::vector<float>& part : parts) {
    std::vector<float> low, high;
    for (size_t j = 0; j + 1 < part.size(); j += 2) {
      order->push_back(part[j] <= part[j + 1]);
      low.push_back(std::min(part[j], part[j + 1]));
      high.push_back(std::max(part[j], part[j + 1]));
    }
    out.push_back(low);
    out.push_back(high);
  }
  return out;
}

TEST(EntanglementTree, SplitsAsDefinedAndMergesBack) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    for (const unsigned levels : {0, 1, 2, 3, 6}) {
      for (const size_t groups : {1, 2, 7, 50, 129}) {
        const size_t count = groups << levels;
        Matrix<float> x = normal_matrix(1, count, groups);
        for (size_t i = 0; i < count; i += 5) x(0, i) = 1;  // equal values within pairs
        std::vector<Symbol> expected_order;
        std::vector<std::vector<float>> parts = {{x.data(), x.data() + count}};
        for (unsigned l = 0; l < levels; ++l) parts = split_oracle(parts, &expected_order);
        std::vector<float> expected;
        for (const auto& part : parts) expected.insert(expected.end(), part.begin(), part.end());

        std::vector<float> row(x.data(), x.data() + count), work(count);
        std::vector<Symbol> order(levels * count / 2);
        split_row(row.data(), count, levels, order.data(), work.data());
        ASSERT_EQ(row, expected);
        ASSERT_EQ(order, expected_order);
        merge_row(row.data(), count, levels, order.data(), work.data());
        ASSERT_EQ(std::memcmp(row.data(), x.data(), count * sizeof(float)), 0) << hwy::TargetName(target);
      }
    }
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(EntanglementTree, KeepsTheSignOfZero) {
  float x[] = {-0.0f, 0.0f, 0.0f, -0.0f};
  float work[4];
  Symbol order[2];
  split_row(x, 4, 1, order, work);
  merge_row(x, 4, 1, order, work);
  EXPECT_TRUE(std::signbit(x[0]) && !std::signbit(x[1]) && !std::signbit(x[2]) && std::signbit(x[3]));
}

// The larger of two N(0, 1) values has mean 1 / sqrt(pi) and variance 1 - 1 / pi = .682. Pairs within a part are
// independent, so every level multiplies the variance within the parts by about .682, as long as the parts are nearly
// normal.
TEST(EntanglementTree, HasTheVarianceOfOrderStatistics) {
  constexpr size_t kCount = size_t{1} << 18;
  const double pi = std::acos(-1.0);
  Matrix<float> x = normal_matrix(1, kCount, 2);
  std::vector<float> work(kCount);
  std::vector<Symbol> order(3 * kCount / 2);
  double last = 1;
  for (unsigned levels = 1; levels <= 3; ++levels) {
    std::vector<float> row(x.data(), x.data() + kCount);
    split_row(row.data(), kCount, levels, order.data(), work.data());
    const size_t part = kCount >> levels;
    double variance = 0;
    for (size_t p = 0; p < kCount; p += part) {
      double mean = 0;
      for (size_t i = 0; i < part; ++i) mean += static_cast<double>(row[p + i]) / static_cast<double>(part);
      if (levels == 1) {
        EXPECT_NEAR(std::abs(mean), 1 / std::sqrt(pi), 0.01);
      }
      for (size_t i = 0; i < part; ++i) {
        const double e = static_cast<double>(row[p + i]) - mean;
        variance += e * e / kCount;
      }
    }
    if (levels == 1) {
      EXPECT_NEAR(variance, 1 - 1 / pi, 0.005);
    }
    EXPECT_NEAR(variance / last, 0.69, 0.03) << levels;
    last = variance;
  }
}

// With the paper's accounting the order bits are free, and at high rates the error falls like the variance, by .682 per
// level.
TEST(Qet, ErrorFallsWithTheLevelsAtTheSameIndices) {
  const Matrix<float> x = normal_matrix(20000, 8, 3);
  const auto at = [&](const char* levels) {
    return nmse_of({"qet", {{"levels", levels}, {"m", "8"}, {"k", "16"}, {"iterations", "100"}}}, x);
  };
  const double zero = at("0");
  EXPECT_NEAR(zero, nmse_of({"pq", {{"m", "8"}, {"k", "16"}, {"iterations", "100"}}}, x), 2e-4);
  EXPECT_NEAR(at("1") / zero, 0.682, 0.04);
  EXPECT_NEAR(at("2") / zero, 0.682 * 0.682, 0.05);
}

// With all bytes counted, half a bit per weight and level costs more (a factor of 2^-1 in the error) than it gains
// (.682).
TEST(Qet, OrderCostsMoreThanItGivesOnIidData) {
  const Matrix<float> x = normal_matrix(20000, 8, 3);
  const double without = nmse_of({"pq", {{"m", "8"}, {"k", "32"}, {"iterations", "60"}}}, x);
  const double with = nmse_of({"qet", {{"levels", "2"}, {"m", "8"}, {"k", "16"}, {"iterations", "60"}}}, x);
  EXPECT_GT(with, 1.3 * without);
}

// A codebook for both values of a pair knows which one is smaller, so it needs no centroids on the other side of the
// diagonal.
TEST(Qet, PairsInOneSubspaceAreCodedBetter) {
  const Matrix<float> x = normal_matrix(20000, 8, 3);
  const auto with = [&](const char* layout) {
    return nmse_of({"qet", {{"levels", "1"}, {"layout", layout}, {"m", "4"}, {"k", "64"}}}, x);
  };
  EXPECT_LT(with("groups"), 0.85 * with("parts"));
  // Together with the order bit, this is as good as a codebook of twice the size.
  const double twice = nmse_of({"pq", {{"m", "4"}, {"k", "128"}}}, x);
  EXPECT_NEAR(with("groups") / twice, 1, 0.04);
}

TEST(Qet, ColumnsBeyondTheLastGroupAreLeftAlone) {
  const Matrix<float> x = normal_matrix(40, 13, 3);
  const auto quantizer = QuantizerCase{"qet", {{"levels", "2"}, {"m", "13"}, {"k", "40"}}}.fit(x.view());
  EXPECT_EQ(quantizer->planes()[1].cols, 2u * 12 / 2);
  // There is a centroid for every row.
  EXPECT_LT(nmse_oracle(x.view(), quantize_whole(*quantizer, x.view()).values.view()), 1e-6);
}

}  // namespace
}  // namespace occ
