#include "metrics/distortion.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "base/rng.h"
#include "hwy/targets.h"

namespace occ {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct DistortionOracle {
  long double d2 = 0, x2 = 0, y2 = 0, xy = 0, d1 = 0, rel = 0, nonzero = 0, max = 0;
  long double n = 0;
};
DistortionOracle oracle(MatrixView<const float> x, MatrixView<const float> y) {
  DistortionOracle o;
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); ++c) {
      const long double a = x(r, c), b = y(r, c), d = std::fabs(a - b);
      o.d2 += d * d, o.x2 += a * a, o.y2 += b * b, o.xy += a * b, o.d1 += d, o.n += 1;
      if (a != 0) o.rel += d / std::fabs(a), o.nonzero += 1;
      o.max = std::max(o.max, d);
    }
  }
  return o;
}

void expect_near_relative(double found, long double expected) {
  EXPECT_NEAR(found, static_cast<double>(expected), 1e-12 * std::fabs(static_cast<double>(expected)));
}

void expect_matches(const DistortionAccumulator& a, const DistortionOracle& o) {
  expect_near_relative(a.mse(), o.d2 / o.n);
  expect_near_relative(a.nmse(), o.d2 / o.x2);
  expect_near_relative(a.mae(), o.d1 / o.n);
  expect_near_relative(a.mre(), o.rel / o.nonzero);
  expect_near_relative(a.cosine(), o.xy / std::sqrt(o.x2 * o.y2));
  expect_near_relative(a.max_abs(), o.max);
  expect_near_relative(a.sqnr_db(), -10 * std::log10(o.d2 / o.x2));
}

Matrix<float> random(size_t rows, size_t cols, uint64_t seed, double scale = 1) {
  Matrix<float> m(rows, cols);
  Rng rng(seed);
  for (size_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(scale * rng.normal());
  return m;
}

TEST(Distortion, MatchesTheOracleOnEveryTargetAndGivesTheSameFigures) {
  const Matrix<float> x = random(33, 300, 1), noise = random(33, 300, 2, 0.1);
  Matrix<float> y = x.clone();
  for (size_t i = 0; i < y.size(); ++i) y.data()[i] += noise.data()[i];
  for (size_t cols : {1, 2, 7, 8, 9, 15, 31, 64, 255, 300}) {
    const Rect at{1, 300 - cols, 31, cols};
    double first = -1;
    for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
      hwy::SetSupportedTargetsForTest(target);
      DistortionAccumulator a;
      a.add(x.view().sub(at), y.view().sub(at));
      expect_matches(a, oracle(x.view().sub(at), y.view().sub(at)));
      if (first < 0) first = a.nmse();
      EXPECT_EQ(a.nmse(), first) << hwy::TargetName(target);
    }
    hwy::SetSupportedTargetsForTest(0);
  }
}

TEST(Distortion, HugeAndTinyValuesNeitherOverflowNorVanish) {
  for (const double scale : {1e38, 1e-38, 1e-42}) {
    Matrix<float> x = random(5, 77, 3, scale / 4), y = random(5, 77, 4, scale / 4);
    DistortionAccumulator a;
    a.add(x.view(), y.view());
    expect_matches(a, oracle(x.view(), y.view()));
  }
}

TEST(Distortion, DegenerateRatiosAreDefined) {
  Matrix<float> zero(2, 9), one(2, 9);
  one(1, 8) = 1;
  DistortionAccumulator none, same, from_zero, to_zero;
  none.add(zero.view().sub({0, 0, 0, 9}), zero.view().sub({0, 0, 0, 9}));
  EXPECT_EQ(none.elements(), 0u);
  EXPECT_EQ(none.mse(), 0);
  EXPECT_EQ(none.nmse(), 0);
  same.add(zero.view(), zero.view());
  EXPECT_EQ(same.nmse(), 0);
  EXPECT_EQ(same.cosine(), 1);
  EXPECT_EQ(same.mre(), 0);
  EXPECT_EQ(same.sqnr_db(), kInfinity);
  from_zero.add(zero.view(), one.view());
  EXPECT_EQ(from_zero.nmse(), kInfinity);
  EXPECT_EQ(from_zero.cosine(), 0);
  to_zero.add(one.view(), zero.view());
  EXPECT_EQ(to_zero.nmse(), 1);
  EXPECT_EQ(to_zero.mre(), 1);
  EXPECT_EQ(to_zero.max_abs(), 1);
  EXPECT_EQ(to_zero.elements(), 18u);
}

TEST(Distortion, ThreadsDoNotChangeIt) {
  const Matrix<float> x = random(3000, 401, 5), y = random(3000, 401, 6);
  DistortionAccumulator one, many;
  {
    ThreadLimit limit(1);
    one = measure_distortion(x.view(), y.view());
  }
  many = measure_distortion(x.view(), y.view());
  expect_matches(many, oracle(x.view(), y.view()));
  EXPECT_EQ(one.nmse(), many.nmse());
  EXPECT_EQ(one.cosine(), many.cosine());
  EXPECT_EQ(one.mre(), many.mre());
}

}  // namespace
}  // namespace occ
