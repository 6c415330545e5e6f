#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "hwy/targets.h"
#include "quantization/lloyd_kernels.h"
#include "quantization/lloyd_levels.h"
#include "quantization/quantizer_for_test.h"

namespace occ {
namespace {

TEST(GaussianLevels, AreThoseOfMax1960) {
  EXPECT_NEAR(gaussian_levels(1)[1], std::sqrt(2 / M_PI), 1e-12);
  const std::vector<double> two = gaussian_levels(2), three = gaussian_levels(3);
  EXPECT_NEAR(two[2], 0.4528, 5e-5);
  EXPECT_NEAR(two[3], 1.510, 5e-4);
  const double expected[] = {0.2451, 0.7560, 1.344, 2.152};
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(three[4 + i], expected[i], 5e-4);
}

// At the optimum D = 1 - sum p_i y_i^2, and each level is the mean of its cell.
TEST(GaussianLevels, AreFixedPointsWithTheKnownDistortion) {
  const double known[] = {.3634, .1175, .03455, .00950};
  for (unsigned bits = 1; bits <= 8; ++bits) {
    const std::vector<double> y = gaussian_levels(bits);
    ASSERT_EQ(y.size(), size_t{1} << bits);
    double d = 1;
    for (size_t i = 0; i < y.size(); ++i) {
      const double a = i == 0 ? -20 : (y[i - 1] + y[i]) / 2, b = i + 1 == y.size() ? 20 : (y[i] + y[i + 1]) / 2;
      double p = 0, m = 0;  // integrals by the midpoint rule
      const int n = 20000;
      for (int k = 0; k < n; ++k) {
        const double t = a + (b - a) * (k + 0.5) / n, f = std::exp(-t * t / 2) / std::sqrt(2 * M_PI) * (b - a) / n;
        p += f, m += f * t;
      }
      EXPECT_NEAR(y[i], m / p, 1e-5) << bits;
      EXPECT_NEAR(y[i], -y[y.size() - 1 - i], 1e-13);
      d -= p * y[i] * y[i];
    }
    if (bits <= 4) {
      EXPECT_NEAR(d / known[bits - 1], 1, 2e-3);
    }
    if (bits == 8) {  // formula of Panter and Dite for many levels
      EXPECT_NEAR(d / (std::sqrt(3.0) * M_PI / 2 * std::exp2(-16)), 1, 0.02);
    }
  }
}

// Tries every partition of n points into `count` runs.
double brute_force(const std::vector<double>& w, const std::vector<double>& m, size_t begin, size_t count) {
  double best = std::numeric_limits<double>::infinity();
  double weight = 0, sum = 0;
  for (size_t end = begin + 1; end + (count - 1) <= w.size(); ++end) {
    weight += w[end - 1], sum += m[end - 1];
    if (count == 1 && end < w.size()) continue;
    const double rest = count == 1 ? 0 : brute_force(w, m, end, count - 1);
    best = std::min(best, rest - sum * sum / weight);
  }
  return best;
}

TEST(BestLevels, EqualTheBestOfAllPartitions) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    Rng rng(seed);
    std::vector<double> t(13), w, m;
    for (double& v : t) v = rng.normal();
    std::sort(t.begin(), t.end());
    for (const double v : t) w.push_back(0.1 + rng.uniform()), m.push_back(w.back() * v);
    for (const size_t count : {1, 2, 4, 7, 13}) {
      const std::vector<double> levels = best_levels(w, m, count);
      ASSERT_EQ(levels.size(), count);
      double energy = 0, error = 0;
      for (size_t i = 0; i < t.size(); ++i) {
        double least = std::numeric_limits<double>::infinity();
        for (const double l : levels) least = std::min(least, (t[i] - l) * (t[i] - l));
        error += w[i] * least;
        energy += w[i] * t[i] * t[i];
      }
      EXPECT_NEAR(error, energy + brute_force(w, m, 0, count), 1e-10);
    }
  }
  EXPECT_EQ(best_levels({}, {}, 4), std::vector<double>(4));
  const std::vector<double> weight = {0, 2, 0}, sum = {0, 3, 0};
  EXPECT_EQ(best_levels(weight, sum, 2), std::vector<double>(2, 1.5));
}

TEST(LevelSearch, FindsTheNearestOnEveryTarget) {
  Rng rng(3);
  for (const size_t count : {2, 4, 8, 16, 32, 64, 128, 256}) {
    for (const char* kind : {"even", "random", "clustered", "equal"}) {
      std::vector<float> levels(count);
      for (size_t i = 0; i < count; ++i) {
        const double u = rng.normal();
        levels[i] = static_cast<float>(*kind == 'e' && kind[1] == 'v' ? static_cast<double>(i) - 3.5
                                       : *kind == 'r'                 ? u
                                       : *kind == 'c' && i % 8 != 0   ? 1 + 1e-5 * u
                                       : *kind == 'c'                 ? 100 * u
                                                                      : 0.25);
      }
      std::sort(levels.begin(), levels.end());
      LevelSearch search;
      search.set_levels(levels);
      Matrix<float> x = normal_matrix(1, 999, 4, 3);
      // Values on the border of two cells.
      for (size_t i = 0; i + 1 < count && i < 200; ++i) x.data()[i] = search.border[i];
      x.data()[300] = 3e38f, x.data()[301] = -3e38f, x.data()[302] = 0;
      const float scale = 1;
      for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
        hwy::SetSupportedTargetsForTest(target);
        Matrix<float> t(1, 999);
        Matrix<Symbol> q(1, 999);
        lloyd_assign(search, {.scale = &scale, .group = 1000}, x.view(), t.data(), q.data());
        for (size_t i = 0; i < x.size(); ++i) {
          size_t expected = 0;
          while (expected + 1 < count && x.data()[i] > search.border[expected]) ++expected;
          ASSERT_EQ(q.data()[i], expected) << count << kind << x.data()[i] << hwy::TargetName(target);
          ASSERT_EQ(t.data()[i], x.data()[i]);
        }
      }
      hwy::SetSupportedTargetsForTest(0);
    }
  }
}

TEST(LloydSums, MatchTheOracleOnEveryTarget) {
  LevelSearch search;
  const std::vector<double> y = gaussian_levels(3);
  search.set_levels(std::vector<float>(y.begin(), y.end()));
  for (const size_t n : {1, 2, 31, 32, 33, 100, 40000}) {
    const Matrix<float> x = normal_matrix(2, n, n);
    double tt = 0, tl = 0, ll = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double t = static_cast<double>(x.data()[i] * 4);
      size_t q = 0;
      while (q < 7 && t > static_cast<double>(search.border[q])) ++q;
      tt += t * t, tl += t * static_cast<double>(search.level[q]);
      ll += static_cast<double>(search.level[q] * search.level[q]);
    }
    for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
      hwy::SetSupportedTargetsForTest(target);
      const LloydSums s = lloyd_sums(search, x.view(), 0.25f);
      EXPECT_NEAR(s.tt, tt, 1e-5 * tt);
      EXPECT_NEAR(s.tl, tl, 1e-5 * tl);
      EXPECT_NEAR(s.ll, ll, 1e-5 * ll);
    }
    hwy::SetSupportedTargetsForTest(0);
  }
}

// The figures are those of methods.md, section 0, "Lloyd-Max".
TEST(Lloyd, GaussianReachesTheTable) {
  const Matrix<float> x = normal_matrix(64, 4096, 2);
  const double table[] = {.3634, .1175, .03455, .00950};
  for (int bits = 1; bits <= 4; ++bits) {
    for (const char* codebook : {"gaussian", "fitted"}) {
      const double d =
          nmse_of({"lloyd", {{"bits", std::to_string(bits)}, {"codebook", codebook}, {"per", "tensor"}}}, x);
      EXPECT_NEAR(d / table[bits - 1], 1, 0.02) << bits << codebook;
    }
  }
  EXPECT_LE(nmse_of({"lloyd", {}}, x), 0.1185);
  EXPECT_GE(nmse_of({"lloyd", {}}, x), 0.1150);
}

// Laplace distribution at 2 bits: Lloyd-Max has D = .1762 (Noll & Zelinski 1978). Gaussian levels are worse.
TEST(Lloyd, FittedLevelsFollowTheData) {
  Matrix<float> x(64, 4096);
  Rng rng(8);
  for (size_t i = 0; i < x.size(); ++i) {
    const double u = rng.uniform() - 0.5;
    x.data()[i] = static_cast<float>(-std::copysign(std::log(1 - 2 * std::abs(u)), u));
  }
  const double fitted = nmse_of({"lloyd", {{"codebook", "fitted"}}}, x);
  const double gaussian = nmse_of({"lloyd", {}}, x);
  EXPECT_NEAR(fitted / .1762, 1, 0.02);
  EXPECT_GT(gaussian, 1.02 * fitted);
  // If there are only a few distinct values, they are reproduced up to the precision of the scales.
  for (size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(rng.below(4)) - 1.25f;
  EXPECT_LT(nmse_of({"lloyd", {{"codebook", "fitted"}, {"per", "tensor"}}}, x), 1e-10);
}

TEST(Lloyd, RejectsLevelsThatAreNoLevels) {
  const QuantizerCase c{"lloyd", {{"bits", "1"}}};
  const float bad[][2] = {{1, 0}, {NAN, 1}, {0, INFINITY}, {-1e30f, 0}};
  for (const auto& levels : bad) {
    ByteWriter out;
    out.put_array(levels, 2);
    out.put(uint16_t{0x3f80});
    ByteReader side(out.span(), "test");
    EXPECT_THROW(c.entry().load(c.params(), {1, 4}, side), Error);
  }
  ByteWriter out;
  out.put(-1.0f), out.put(2.0f), out.put(uint16_t{0x4000});
  ByteReader side(out.span(), "test");
  const auto quantizer = c.entry().load(c.params(), {1, 2}, side);
  Coded coded;
  coded.values = Matrix<float>(1, 2);
  coded.symbols.emplace_back(1, 2);
  coded.symbols[0](0, 1) = 1;
  const Matrix<float> x = dequantize_whole(*quantizer, coded);
  EXPECT_EQ(x(0, 0), -2);
  EXPECT_EQ(x(0, 1), 4);
}

}  // namespace
}  // namespace occ
