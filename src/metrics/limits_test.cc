#include "metrics/limits.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"
#include "metrics/rate.h"

namespace occ {
namespace {

TEST(Rate, EntropyOfAHistogram) {
  const std::vector<uint64_t> flat(16, 1000), one = {0, 7, 0}, skewed = {1, 2, 4, 1};
  EXPECT_DOUBLE_EQ(entropy_bits(flat), 4);
  EXPECT_DOUBLE_EQ(entropy_bits(one), 0);
  EXPECT_DOUBLE_EQ(entropy_bits(skewed), 1.75);
  EXPECT_EQ(entropy_bits({}), 0);
  EXPECT_EQ(bits_per_weight(3, 8), 3);
  EXPECT_EQ(bits_per_weight(3, 0), 0);
  EXPECT_EQ(bytes_at(2.5, 1000), 312u);
}

TEST(Limits, GaussianAndItsInverse) {
  EXPECT_DOUBLE_EQ(gaussian_distortion(2), 0.0625);
  EXPECT_DOUBLE_EQ(gaussian_rate(0.0625), 2);
  EXPECT_EQ(gaussian_rate(1.5), 0);
  EXPECT_EQ(gaussian_rate(0), std::numeric_limits<double>::infinity());
  const Gap gap = gaussian_gap(2, 0.1188);  // the error of a uniform quantizer with 2 bits
  EXPECT_NEAR(gap.gap_bits(), 0.4633, 1e-4);
  EXPECT_NEAR(gap.gap_db, 2.789, 1e-3);
  EXPECT_NEAR(gaussian_gap(3, 0.02).gap_db, 6.0206 * gaussian_gap(3, 0.02).gap_bits(), 1e-4);
}

TEST(Limits, WaterFillingOfTwoLevelsIsClosedForm) {
  // Half of the components have variance 4, half have variance 1. The rate is 1/2 log2(2 / theta) for theta below 1,
  // and 1/4 log2(4 / theta) for theta from 1 to 4.
  const std::vector<double> v = {4, 1, 4, 1};
  const WaterFilling deep = water_filling_for_rate(v, 3);
  EXPECT_NEAR(deep.theta, 2.0 / 64, 1e-12);
  EXPECT_NEAR(deep.distortion, 2.0 / 64, 1e-12);
  const WaterFilling shallow = water_filling_for_rate(v, 0.25);
  EXPECT_NEAR(shallow.theta, 2, 1e-12);
  EXPECT_NEAR(shallow.distortion, 1.5, 1e-12);
  const WaterFilling from_d = water_filling_for_distortion(v, 1.5);
  EXPECT_NEAR(from_d.rate, 0.25, 1e-12);
  EXPECT_NEAR(water_filling_for_rate(v, 0).theta, 4, 1e-12);
  EXPECT_NEAR(water_filling_for_distortion(v, 2.5).rate, 0, 1e-12);
}

TEST(Limits, WaterFillingOfLogNormalEigenvalues) {
  // At a water level far below all eigenvalues, the gain over equal treatment of all components is the coding gain. At
  // any level R(D) and D(R) are the inverse of each other.
  std::vector<double> v(4096);
  Rng rng(1);
  double log_mean = 0;
  for (double& x : v) x = std::exp(1.5 * rng.normal()), log_mean += std::log2(x) / 4096;
  const WaterFilling deep = water_filling_for_rate(v, 8);
  EXPECT_NEAR(std::log2(deep.distortion), log_mean - 16, 1e-6);
  for (const double rate : {0.1, 0.5, 1.0, 2.0, 3.0}) {
    const WaterFilling a = water_filling_for_rate(v, rate);
    EXPECT_NEAR(a.rate, rate, 1e-9);
    EXPECT_NEAR(water_filling_for_distortion(v, a.distortion).rate, rate, 1e-9);
  }
  const std::vector<double> equal(10, 3.0);
  EXPECT_NEAR(water_filling_for_rate(equal, 2).distortion, 3.0 / 16, 1e-12);
}

TEST(Limits, WaterFillingOfZerosCostsNothing) {
  const std::vector<double> zeros(5), some = {0, 0, 1, 0};
  EXPECT_EQ(water_filling_for_rate(zeros, 2).rate, 0);
  EXPECT_EQ(water_filling_for_rate({}, 2).distortion, 0);
  EXPECT_NEAR(water_filling_for_rate(some, 0.5).distortion, 0.25 / 16, 1e-12);
}

TEST(Limits, ProfileKeepsTheLimitsOfTheEigenvalues) {
  for (const uint64_t seed : {1, 2, 3}) {
    Rng rng(seed);
    std::vector<double> v(512);
    double mean = 0;
    for (double& x : v) x = std::exp(1.5 * rng.normal()), mean += x / 512;
    const std::vector<uint8_t> profile = eigenvalue_profile(v);
    ASSERT_EQ(profile.size(), kProfileSize);
    const std::vector<double> variances = profile_variances(profile);
    for (const double rate : {1.0, 2.0, 3.0, 4.0}) {
      const double distortion = water_filling_for_rate(v, rate).distortion / mean;
      EXPECT_NEAR(water_filling_for_distortion(variances, distortion).rate, rate, 0.005) << seed;
    }
  }
}

// Rows and columns of a matrix both have variances. The limit is that of all products of a row and a column variance.
TEST(Limits, ProfilesOfRowsAndColumnsMultiply) {
  std::vector<double> rows, cols, all;
  for (int i = 0; i < 96; ++i) rows.push_back(std::exp2(0.05 * i)), cols.push_back(std::exp2(-0.08 * i));
  double row_mean = 0, col_mean = 0;
  for (int i = 0; i < 96; ++i) row_mean += rows[i] / 96, col_mean += cols[i] / 96;
  for (const double r : rows) {
    for (const double c : cols) all.push_back(r / row_mean * (c / col_mean));
  }
  const std::vector<double> made = profile_variances(eigenvalue_profile(cols), eigenvalue_profile(rows));
  EXPECT_EQ(made.size(), 32 * 32);
  for (const double distortion : {0.3, 0.05, 0.01}) {
    EXPECT_NEAR(water_filling_for_distortion(made, distortion).rate, water_filling_for_distortion(all, distortion).rate,
                0.01);
  }
  EXPECT_EQ(profile_variances(eigenvalue_profile(cols), {}), profile_variances(eigenvalue_profile(cols)));
}

TEST(Limits, ProfileOfOddCounts) {
  // Fewer than 32 eigenvalues are kept one by one. Where their number is not a multiple of 32, an eigenvalue can be
  // shared by two parts.
  const std::vector<double> few = {4, 0, 1, 1};
  const std::vector<uint8_t> profile = eigenvalue_profile(few);
  ASSERT_EQ(profile.size(), 4u);
  EXPECT_EQ(profile[0], 0);  // stands for 2^-48 of the mean
  EXPECT_NEAR(profile_variances(profile)[3], 4 / 1.5, 0.4);
  EXPECT_TRUE(eigenvalue_profile(std::vector<double>(7)).empty());
  EXPECT_TRUE(eigenvalue_profile({}).empty());
  std::vector<double> v(75);
  double log_mean = 0, mean = 0;
  Rng rng(4);
  for (double& x : v) x = std::exp(rng.normal()), mean += x / 75, log_mean += std::log2(x) / 75;
  double told = 0;
  for (const double x : profile_variances(eigenvalue_profile(v))) told += std::log2(x) / 32;
  EXPECT_NEAR(told, log_mean - std::log2(mean), 0.005);
}

// With equal eigenvalues the weighted error is the plain error, and the limits are equal as well.
TEST(Limits, WeightedGapOfEqualEigenvaluesIsTheGaussianOne) {
  const std::vector<uint8_t> flat = eigenvalue_profile(std::vector<double>(64, 5.0));
  const Gap plain = gaussian_gap(3, 0.02), weighted = weighted_gap(3, 0.02, flat, {});
  EXPECT_NEAR(weighted.limit_bpw, plain.limit_bpw, 1e-9);
  EXPECT_NEAR(weighted.gap_db, plain.gap_db, 1e-9);
  EXPECT_EQ(weighted_rate(0.02, flat, {}), weighted.limit_bpw);
  // For the variances 2 and 1/2 the water level at 1 bit is 1/4, so the limit at an error of 1/4 is 1 bit.
  const std::vector<uint8_t> two = {192 - 4, 192 + 4};
  EXPECT_NEAR(weighted_gap(1.5, 0.25, two, {}).gap_bits(), 0.5, 1e-9);
}

TEST(Limits, MeanGapAddsBitsOfAllWeights) {
  GapMean mean;
  EXPECT_FALSE(mean.mean());
  mean.add(gaussian_gap(0, 0), 1000);  // a lossless code has no limit
  EXPECT_FALSE(mean.mean());
  mean.add(gaussian_gap(3, 0.0625), 300);
  mean.add(gaussian_gap(1.5, 0.25), 100);
  const Gap gap = mean.mean().value();
  EXPECT_NEAR(gap.bpw, (3 * 300 + 1.5 * 100) / 400, 1e-12);
  EXPECT_NEAR(gap.limit_bpw, (2 * 300 + 1 * 100) / 400.0, 1e-12);
  EXPECT_NEAR(gap.error, (0.0625 * 300 + 0.25 * 100) / 400, 1e-12);
  EXPECT_NEAR(gap.gap_db, 6.0206 * gap.gap_bits(), 1e-4);
}

}  // namespace
}  // namespace occ
