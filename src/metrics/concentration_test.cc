#include "metrics/concentration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/parallel.h"
#include "base/rng.h"

namespace occ {
namespace {

struct ConcentrationOracle {
  long double mean = 0, variance = 0, kurtosis = 0, energy = 0;
  std::vector<double> magnitudes;  // in descending order
};
ConcentrationOracle oracle(MatrixView<const float> x) {
  ConcentrationOracle o;
  const long double n = static_cast<long double>(x.size());
  long double m2 = 0, m4 = 0;
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); ++c) {
      o.mean += x(r, c) / n;
      o.energy += static_cast<long double>(x(r, c)) * x(r, c);
      o.magnitudes.push_back(std::abs(static_cast<double>(x(r, c))));
    }
  }
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); ++c) {
      const long double d = x(r, c) - o.mean;
      m2 += d * d, m4 += d * d * d * d;
    }
  }
  o.variance = m2 / n;
  o.kurtosis = n * m4 / (m2 * m2);
  std::sort(o.magnitudes.rbegin(), o.magnitudes.rend());
  return o;
}

Matrix<float> random(size_t rows, size_t cols, double mean, int power) {
  Matrix<float> m(rows, cols);
  Rng rng(7);
  for (size_t i = 0; i < m.size(); ++i) {
    const double v = rng.normal();
    m.data()[i] = static_cast<float>(mean + std::pow(std::abs(v), power) * (v < 0 ? -1 : 1));
  }
  return m;
}

TEST(Concentration, MatchesTheOracle) {
  for (const double mean : {0.0, 1000.0}) {
    for (const int power : {1, 3}) {
      const Matrix<float> x = random(700, 401, mean, power);
      const ConcentrationAccumulator a = measure_concentration(x.view());
      const ConcentrationOracle o = oracle(x.view());
      EXPECT_EQ(a.elements(), x.size());
      EXPECT_NEAR(a.mean(), static_cast<double>(o.mean), 1e-9 * (1 + mean));
      EXPECT_NEAR(a.variance(), static_cast<double>(o.variance), 1e-9 * static_cast<double>(o.variance));
      EXPECT_NEAR(a.kurtosis(), static_cast<double>(o.kurtosis), 1e-7 * static_cast<double>(o.kurtosis));
      EXPECT_NEAR(a.max_over_rms(), o.magnitudes[0] / std::sqrt(static_cast<double>(o.energy) / double(x.size())),
                  1e-9);
      EXPECT_NEAR(a.outlier_ratio(), o.magnitudes[0] / std::sqrt(static_cast<double>(o.energy)), 1e-9);
      for (const double f : {0.01, 0.1, 1.0}) {
        double top = 0;
        for (size_t i = 0; i < static_cast<size_t>(f * double(x.size())); ++i) top += o.magnitudes[i] * o.magnitudes[i];
        EXPECT_NEAR(a.top_energy(f), top / static_cast<double>(o.energy), 1e-3);
      }
    }
  }
}

TEST(Concentration, GaussianTheory) {
  const Matrix<float> x = random(1000, 1000, 0, 1);
  const ConcentrationAccumulator a = measure_concentration(x.view());
  EXPECT_NEAR(a.kurtosis(), 3, 0.03);
  EXPECT_NEAR(a.beyond_3_sigma(), 0.0027, 0.0002);
  EXPECT_NEAR(a.top_energy(0.01), 0.0846, 0.002);  // 2 (t phi(t) + Q(t)) where 2 Q(t) = 0.01
  EXPECT_NEAR(a.top_energy(0.10), 0.4392, 0.003);
}

TEST(Concentration, DegenerateInputIsDefined) {
  Matrix<float> zero(3, 5), constant(3, 5), spike(100, 100);
  for (size_t i = 0; i < 15; ++i) constant.data()[i] = 0.1f;
  spike(4, 4) = -3e38f;
  for (const auto& a : {measure_concentration({}), measure_concentration(zero.view())}) {
    EXPECT_EQ(a.kurtosis(), 0);
    EXPECT_EQ(a.max_over_rms(), 0);
    EXPECT_EQ(a.outlier_ratio(), 0);
    EXPECT_EQ(a.beyond_3_sigma(), 0);
    EXPECT_EQ(a.top_energy(0.1), 0);
  }
  const ConcentrationAccumulator c = measure_concentration(constant.view()), s = measure_concentration(spike.view());
  EXPECT_EQ(c.kurtosis(), 0);
  EXPECT_NEAR(c.max_over_rms(), 1, 1e-12);
  EXPECT_NEAR(s.max_over_rms(), 100, 1e-9);
  EXPECT_NEAR(s.kurtosis(), 9999, 2);
  EXPECT_EQ(s.top_energy(0.01), 1);
}

TEST(Concentration, ThreadsDoNotChangeIt) {
  const Matrix<float> x = random(2000, 1001, 0.1, 3);
  ThreadLimit limit(1);
  const ConcentrationAccumulator one = measure_concentration(x.view());
  ThreadLimit more(0);
  const ConcentrationAccumulator many = measure_concentration(x.view());
  EXPECT_EQ(one.kurtosis(), many.kurtosis());
  EXPECT_EQ(one.top_energy(0.1), many.top_energy(0.1));
}

TEST(Concentration, ProfilesInClosedForm) {
  const std::vector<double> two = {4, 1}, equal(8, 0.3), holed = {1, 0, 1, 1};
  EXPECT_NEAR(coding_gain_bits(two), 0.5 * std::log2(2.5 / 2), 1e-15);
  EXPECT_NEAR(coding_gain_bits(equal), 0, 1e-15);
  EXPECT_TRUE(std::isinf(coding_gain_bits(holed)));
  EXPECT_TRUE(std::isfinite(coding_gain_bits(holed, 1e-9)));
  EXPECT_EQ(coding_gain_bits({}), 0);
  EXPECT_NEAR(effective_rank(equal), 8, 1e-12);
  EXPECT_NEAR(effective_rank(holed), 3, 1e-12);
  const std::vector<double> zeros(3);
  EXPECT_EQ(effective_rank(zeros), 0);
  EXPECT_NEAR(participation_ratio(equal), 8, 1e-12);
  EXPECT_NEAR(participation_ratio(holed), 3, 1e-12);
  EXPECT_NEAR(participation_ratio(two), 25.0 / 17, 1e-12);
  EXPECT_EQ(participation_ratio(zeros), 0);
}

}  // namespace
}  // namespace occ
