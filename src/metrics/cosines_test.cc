// The figures of cosines.h are compared with slow implementations of their definitions and with known geometry.
#include "metrics/cosines.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/parallel.h"
#include "base/rng.h"

namespace occ {
namespace {

Matrix<float> normal(size_t rows, size_t cols, uint64_t seed) {
  Rng rng(seed);
  Matrix<float> m(rows, cols);
  for (size_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(rng.normal());
  return m;
}

// Returns x plus Gaussian noise of standard deviation sigma.
Matrix<float> noisy(const Matrix<float>& x, double sigma, uint64_t seed) {
  Matrix<float> y = normal(x.rows(), x.cols(), seed);
  for (size_t i = 0; i < y.size(); ++i) y.data()[i] = x.data()[i] + static_cast<float>(sigma) * y.data()[i];
  return y;
}

double slow_cosine(const Matrix<float>& a, size_t i, const Matrix<float>& b, size_t j) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t c = 0; c < a.cols(); ++c) {
    ab += double{a(i, c)} * double{b(j, c)};
    aa += double{a(i, c)} * double{a(i, c)};
    bb += double{b(j, c)} * double{b(j, c)};
  }
  return ab / std::sqrt(aa * bb);
}

std::set<size_t> slow_neighbours(const Matrix<float>& x, size_t i, size_t count) {
  std::vector<std::pair<double, size_t>> all;
  for (size_t j = 0; j < x.rows(); ++j) {
    if (j != i) all.emplace_back(-slow_cosine(x, i, x, j), j);
  }
  std::sort(all.begin(), all.end());
  std::set<size_t> out;
  for (size_t k = 0; k < std::min(count, all.size()); ++k) out.insert(all[k].second);
  return out;
}

TEST(Cosines, AreThoseOfTheDefinition) {
  const Matrix<float> x = normal(300, 21, 1), y = noisy(x, 0.5, 2);
  const CosineFigures f = measure_cosines(x.view(), y.view());
  std::vector<double> cosines;
  double sum = 0, recall = 0;
  for (size_t i = 0; i < x.rows(); ++i) {
    cosines.push_back(slow_cosine(x, i, y, i));
    sum += cosines.back();
    const std::set<size_t> wanted = slow_neighbours(x, i, 10), found = slow_neighbours(y, i, 10);
    for (const size_t j : found) recall += wanted.contains(j) ? 0.1 : 0;
  }
  std::sort(cosines.begin(), cosines.end());
  EXPECT_NEAR(f.mean(), sum / 300, 1e-6);
  EXPECT_NEAR(f.percentile(1), cosines[2], 1e-6);
  EXPECT_NEAR(f.percentile(100), cosines[299], 1e-6);
  EXPECT_NEAR(f.recall(), recall / 300, 1e-9);
  EXPECT_EQ(f.queries, 300);
  double squares = 0;  // over all pairs, not only a sample of them
  for (size_t i = 0; i < x.rows(); ++i) {
    for (size_t j = 0; j < x.rows(); ++j) {
      const double d = i == j ? 0 : slow_cosine(x, i, x, j) - slow_cosine(y, i, y, j);
      squares += d * d;
    }
  }
  EXPECT_NEAR(f.pair_rmse(), std::sqrt(squares / (300 * 299)), 0.01 * f.pair_rmse());
}

// Noise of variance s^2 gives a cosine of 1 / sqrt(1 + s^2) and leaves the inner products unbiased. Vectors of half the
// length halve the inner products.
TEST(Cosines, AreWhatGeometrySays) {
  const Matrix<float> x = normal(2000, 256, 3);
  const CosineFigures f = measure_cosines(x.view(), noisy(x, 0.5, 4).view());
  EXPECT_NEAR(f.mean(), 1 / std::sqrt(1.25), 0.002);
  EXPECT_NEAR(f.product_slope(), 1, 0.01);
  EXPECT_EQ(f.queries, 1000);
  Matrix<float> half = x.clone();
  for (size_t i = 0; i < half.size(); ++i) half.data()[i] *= 0.5f;
  const CosineFigures h = measure_cosines(x.view(), half.view());
  EXPECT_NEAR(h.product_slope(), 0.5, 1e-6);
  EXPECT_NEAR(h.percentile(0), 1, 1e-6);
  EXPECT_NEAR(h.pair_rmse(), 0, 1e-6);
  EXPECT_EQ(h.recall(), 1);
  EXPECT_EQ(h.recall_stderr(), 0);
  // Among unrelated vectors neighbours are found only by chance, at a rate of 10 in 1,999.
  EXPECT_LT(measure_cosines(x.view(), normal(2000, 256, 5).view()).recall(), 0.02);
}

TEST(Cosines, OfFewOrZeroRows) {
  const Matrix<float> x = normal(3, 8, 6);
  Matrix<float> zero = x.clone();
  std::fill_n(zero.row(1), 8, 0.0f);
  EXPECT_NEAR(measure_cosines(x.view(), zero.view()).mean(), 2.0 / 3, 1e-6);
  EXPECT_NEAR(measure_cosines(zero.view(), zero.view()).mean(), 1, 1e-6);
  EXPECT_EQ(measure_cosines(x.view(), x.view()).recall(), 1);
  EXPECT_EQ(measure_cosines(x.view().row_range(0, 1), x.view().row_range(0, 1)).recall(), 1);
  EXPECT_EQ(measure_cosines(Matrix<float>(0, 8).view(), Matrix<float>(0, 8).view()).mean(), 1);
}

TEST(Cosines, DoNotDependOnThreadsAndMerge) {
  const Matrix<float> x = normal(700, 64, 7), y = noisy(x, 0.3, 8);
  CosineFigures one;
  {
    const ThreadLimit limit(1);
    one = measure_cosines(x.view(), y.view());
  }
  CosineFigures all = measure_cosines(x.view(), y.view());
  EXPECT_EQ(one.cosines, all.cosines);
  EXPECT_EQ(one.pair_squares, all.pair_squares);
  EXPECT_EQ(one.hits, all.hits);
  all.merge(one);
  EXPECT_NEAR(all.mean(), one.mean(), 1e-12);
  EXPECT_NEAR(all.pair_rmse(), one.pair_rmse(), 1e-12);
  EXPECT_EQ(all.cosines.size(), 1400);
  EXPECT_TRUE(std::is_sorted(all.cosines.begin(), all.cosines.end()));
}

}  // namespace
}  // namespace occ
