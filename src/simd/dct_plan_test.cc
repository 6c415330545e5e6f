#include "simd/dct_plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "base/hash.h"
#include "base/rng.h"
#include "simd/for_each_target_for_test.h"

namespace occ {
namespace {

template <typename T>
std::vector<T> noise(size_t n, uint64_t seed) {
  Rng rng(seed);
  std::vector<T> x(n);
  for (T& v : x) v = static_cast<T>(rng.normal());
  return x;
}

// Oracle: the definition, in doubles with libm, of lane `lane`.
template <typename T>
std::vector<double> slow_dct2(const std::vector<T>& panel, size_t n, size_t lane) {
  std::vector<double> y(n);
  const auto length = static_cast<double>(n);
  for (size_t k = 0; k < n; ++k) {
    for (size_t j = 0; j < n; ++j) {
      const size_t turns = (2 * j + 1) * k % (4 * n);
      y[k] += double{panel[j * 16 + lane]} * std::cos(std::numbers::pi * static_cast<double>(turns) / (2 * length));
    }
    y[k] *= std::sqrt((k == 0 ? 1 : 2) / length);
  }
  return y;
}

template <typename T>
void check(size_t n, double tolerance) {
  const DctPlan<T> plan(n);
  const auto panel = noise<T>(n * 16, n);
  auto x = panel;
  std::vector<T> y(n * 16), back(n * 16), scratch(plan.scratch_size());
  plan.forward(x.data(), y.data(), scratch.data());
  plan.inverse(y.data(), back.data(), scratch.data());
  for (const size_t lane : {0, 5, 15}) {
    const auto expected = slow_dct2(panel, n, lane);
    double energy = 0, error = 0, back_error = 0, norm = 0;
    for (size_t i = 0; i < n; ++i) {
      const double before = panel[i * 16 + lane], after = y[i * 16 + lane];
      energy += before * before;
      norm += after * after;
      error += (after - expected[i]) * (after - expected[i]);
      back_error += (back[i * 16 + lane] - before) * (back[i * 16 + lane] - before);
    }
    ASSERT_LT(std::sqrt(error / energy), tolerance) << n;
    ASSERT_LT(std::sqrt(back_error / energy), tolerance) << n;
    ASSERT_NEAR(norm / energy, 1, 4 * tolerance) << n;
  }
}

TEST(DctPlan, MatchesTheDefinitionAtEveryShortLength) {
  for_each_simd_target([&] {
    for (size_t n = 1; n <= 72; ++n) {
      check<float>(n, 4e-7);
      check<double>(n, 2e-15);
    }
  });
}

TEST(DctPlan, MatchesTheDefinitionAtLongLengths) {
  for (const size_t n : {128, 331, 576, 1000, 1408, 2048}) check<float>(n, 5e-7);
  check<double>(1536, 1e-14);
  check<float>(2 * 1025, 1e-6);  // the odd matrix is made on the fly
}

TEST(DctPlan, StoredAndFreshRowsAgree) {
  const DctPlan<float> plan(18);
  for (const auto kind : {DctPlan<float>::kDct2, DctPlan<float>::kDct4Transposed}) {
    std::vector<float> rows(2 * 9);
    plan.fill_rows(kind, 3, 2, rows.data());
    for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i], plan.matrix(kind)[3 * 9 + i]);
  }
}

TEST(DctPlan, SameFloatsOnEveryTarget) {
  for (const size_t n : {8, 36, 576, 4096}) {
    const DctPlan<float> plan(n);
    std::vector<uint64_t> hashes;
    for_each_simd_target([&] {
      auto x = noise<float>(n * 16, 3);
      std::vector<float> y(n * 16), back(n * 16), scratch(plan.scratch_size());
      plan.forward(x.data(), y.data(), scratch.data());
      plan.inverse(y.data(), back.data(), scratch.data());
      hashes.push_back(hash64(y.data(), y.size() * 4) ^ (3 * hash64(back.data(), back.size() * 4)));
    });
    for (const uint64_t h : hashes) EXPECT_EQ(h, hashes[0]) << n;
  }
}

// Archives depend on these numbers: a changed hash is a changed file format.
TEST(DctPlan, TablesArePinned) {
  const auto table_hash = [](size_t n) {
    const DctPlan<float> plan(n);
    uint64_t hash = n;
    for (size_t level = 1; plan.length(level) > 1 && plan.length(level) % 2 == 0; ++level) {
      hash = hash * 31 + hash64(plan.rotations(level), 2 * plan.length(level) * sizeof(float));
    }
    for (const auto kind : {DctPlan<float>::kDct2, DctPlan<float>::kDct4}) {
      const float* matrix = plan.matrix(kind);
      if (matrix != nullptr) hash = hash * 31 + hash64(matrix, plan.odd() * plan.odd() * sizeof(float));
    }
    return hash_hex(hash);
  };
  EXPECT_EQ(table_hash(4096), "b97061711283fd90");
  EXPECT_EQ(table_hash(576), "ebc758164548ae49");
  EXPECT_EQ(table_hash(331), "5df168aac6fecd0d");
}

}  // namespace
}  // namespace occ
