#include "metrics/tensor_limit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "metrics/limits.h"

namespace occ {
namespace {

TEST(TensorLimit, OfOneTensorIsThatOfAGaussian) {
  TensorLimit limit;
  limit.add(1000, 77);
  for (const double bits : {0.5, 2.0, 4.0}) {
    EXPECT_NEAR(limit.nmse_at(bits) / gaussian_distortion(bits), 1, 1e-9);
    EXPECT_NEAR(limit.bits_at(gaussian_distortion(bits)), bits, 1e-9);
  }
  EXPECT_EQ(limit.nmse_at(0), 1);
  EXPECT_EQ(limit.bits_at(1), 0);
}

// The same as water-filling over all weights, where every one is a component of its own.
TEST(TensorLimit, IsWaterFillingOverAllWeights) {
  TensorLimit limit;
  std::vector<double> variances(30, 4.0);
  variances.insert(variances.end(), 10, 0.01);
  variances.insert(variances.end(), 60, 1.0);
  limit.add(30, 30 * 4.0);
  limit.add(10, 10 * 0.01);
  limit.add(60, 60 * 1.0);
  double mean = 0;
  for (const double v : variances) mean += v / static_cast<double>(variances.size());
  for (const double bits : {0.1, 1.0, 3.0}) {
    const WaterFilling w = water_filling_for_rate(variances, bits);
    EXPECT_NEAR(limit.nmse_at(bits), w.distortion / mean, 1e-9);
    EXPECT_NEAR(limit.bits_at(w.distortion / mean), bits, 1e-9);
  }
}

TEST(TensorLimit, TakesTensorsOfZeros) {
  TensorLimit limit;
  EXPECT_EQ(limit.nmse_at(2), 0);
  limit.add(10, 0);
  EXPECT_EQ(limit.bits_at(0.5), 0);
  limit.add(10, 10);
  EXPECT_NEAR(limit.nmse_at(1), 0.0625, 1e-9) << "zeros take no bits";
}

}  // namespace
}  // namespace occ
