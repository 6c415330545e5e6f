#include "simd/fwht.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "base/hash.h"
#include "base/rng.h"
#include "simd/for_each_target_for_test.h"

namespace occ {
namespace {

std::vector<float> noise(size_t n, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>(rng.normal());
  return x;
}

// Oracle: y_i = 1/sqrt(n) sum_j (-1)^popcount(i & j) x_j.
std::vector<double> slow_wht(const float* x, size_t n) {
  std::vector<double> y(n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) y[i] += std::popcount(i & j) % 2 == 0 ? x[j] : -x[j];
    y[i] /= std::sqrt(static_cast<double>(n));
  }
  return y;
}

// The textbook loop in floats: the tree of sums that every target must follow to the last bit.
void textbook_fwht(float* x, size_t n) {
  for (size_t h = 1; h < n; h *= 2) {
    for (size_t i = 0; i < n; ++i) {
      if ((i & h) != 0) continue;
      const float a = x[i], b = x[i + h];
      x[i] = a + b;
      x[i + h] = a - b;
    }
  }
  if (n > 1) {
    for (size_t i = 0; i < n; ++i) x[i] *= fwht_scale(n);
  }
}

TEST(FwhtScale, IsOneOverTheRoot) {
  for (size_t e = 0; e < 30; ++e) {
    EXPECT_NEAR(fwht_scale(size_t{1} << e) * std::sqrt(std::exp2(e)), 1.0, e % 2 == 0 ? 0 : 2e-8) << e;
  }
}

TEST(Fwht, MatchesTheDefinition) {
  for_each_simd_target([&] {
    for (size_t n = 1; n <= 1024; n *= 2) {
      auto x = noise(n, n);
      const auto expected = slow_wht(x.data(), n);
      fwht(x.data(), n, 1);
      for (size_t i = 0; i < n; ++i) ASSERT_NEAR(x[i], expected[i], 2e-6) << n << " " << i;
    }
  });
}

TEST(Fwht, FollowsTheTextbookTreeBitForBit) {
  for_each_simd_target([&] {
    for (size_t n = 1; n <= (1 << 17); n *= 2) {
      const size_t count = n > 4096 ? 1 : 3;
      auto x = noise(n * count, n + 1), expected = x;
      for (size_t i = 0; i < count; ++i) textbook_fwht(expected.data() + i * n, n);
      fwht(x.data(), n, count);
      ASSERT_EQ(hash64(x.data(), x.size() * 4), hash64(expected.data(), x.size() * 4)) << n;
    }
  });
}

TEST(Fwht, PanelFollowsTheSameTree) {
  for_each_simd_target([&] {
    for (size_t n = 1; n <= 2048; n *= 2) {
      auto panel = noise(n * 16, n + 2);
      std::vector<double> wide(panel.begin(), panel.end());
      const auto before = panel;
      fwht_panel(panel.data(), n);
      fwht_panel(wide.data(), n);
      for (size_t lane = 0; lane < 16; ++lane) {
        std::vector<float> x(n);
        for (size_t i = 0; i < n; ++i) x[i] = before[i * 16 + lane];
        textbook_fwht(x.data(), n);
        for (size_t i = 0; i < n; ++i) {
          ASSERT_EQ(panel[i * 16 + lane], x[i]) << n;
          ASSERT_NEAR(wide[i * 16 + lane], x[i], 2e-6) << n;
        }
      }
    }
  });
}

TEST(Fwht, IsItsOwnInverseAndKeepsTheNorm) {
  for (const size_t n : {2, 8, 64, 512, 4096, 32768}) {
    const auto x = noise(n, 9);
    auto y = x;
    fwht(y.data(), n, 1);
    double before = 0, after = 0, error = 0;
    for (size_t i = 0; i < n; ++i) before += double{x[i]} * x[i], after += double{y[i]} * y[i];
    fwht(y.data(), n, 1);
    for (size_t i = 0; i < n; ++i) error += (double{x[i]} - y[i]) * (double{x[i]} - y[i]);
    EXPECT_NEAR(after / before, 1, 1e-6);
    EXPECT_LT(error / before, 1e-13);
  }
}

}  // namespace
}  // namespace occ
