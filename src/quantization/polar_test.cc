// Compares codebooks with their definition and the search with all products, and checks the distortion for normal
// values (docs/explanation/methods/pcdvq.md).
#include "quantization/polar.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "hwy/targets.h"
#include "quantization/feedback_for_test.h"
#include "quantization/polar_codebook.h"
#include "quantization/polar_search.h"

namespace occ {
namespace {

int dot8(const int16_t* a, const int16_t* b) {
  int sum = 0;
  for (size_t i = 0; i < 8; ++i) sum += a[i] * b[i];
  return sum;
}

TEST(E8Directions, AreThePointsOfNormUpTo16WithoutMultiples) {
  const std::vector<int16_t> all = e8_directions();
  ASSERT_EQ(all.size(), 8 * 337'920u);
  std::vector<size_t> count(9);
  for (size_t k = 0; k < all.size(); k += 8) {
    const int norm = dot8(&all[k], &all[k]);  // 4 |a|^2, because coordinates are doubled
    ASSERT_TRUE(norm % 8 == 0 && norm > 0 && norm <= 64);
    ++count[static_cast<size_t>(norm / 8)];
    int sum = 0, parity = all[k] & 1;
    for (size_t i = 0; i < 8; ++i) {
      sum += all[k + i];
      ASSERT_EQ(all[k + i] & 1, parity);
    }
    ASSERT_EQ(sum % 4, 0);
  }
  // The theta series of E8, 240 sigma_3(n), minus the points that are twice a shorter point.
  EXPECT_EQ(count, (std::vector<size_t>{0, 240, 2160, 6720, 17520 - 240, 30240, 60480, 82560, 140400 - 2160}));
}

TEST(GreedyDirections, AreFarthestPointsInExactArithmetic) {
  const std::vector<int16_t> all = e8_directions();
  const size_t n = all.size() / 8, count = 40;
  std::vector<int16_t> expected;
  struct Fraction {
    int64_t top = -1'000'000, bottom = 1;
    bool operator<(const Fraction& o) const { return top * o.bottom < o.top * bottom; }
  };
  std::vector<Fraction> square(n);  // for each candidate, sign(cos) cos^2 |c|^2 for the nearest chosen direction
  for (size_t k = 0; k < count; ++k) {
    size_t best = 0;
    for (size_t c = 1; c < n; ++c) {
      const Fraction a{square[c].top, square[c].bottom * dot8(&all[8 * c], &all[8 * c])};
      const Fraction b{square[best].top, square[best].bottom * dot8(&all[8 * best], &all[8 * best])};
      if (a < b) best = c;
    }
    if (k == 0) best = 0;
    const int16_t* chosen = &all[8 * best];
    expected.insert(expected.end(), chosen, chosen + 8);
    for (size_t c = 0; c < n; ++c) {
      const int64_t d = dot8(&all[8 * c], chosen);
      const Fraction f{d * std::abs(d), dot8(chosen, chosen)};
      if (square[c] < f) square[c] = f;
    }
  }
  std::vector<int16_t> found = generate_directions(DirectionSource::kE8Greedy, 8, 6);
  found.resize(8 * count);
  EXPECT_EQ(found, expected);
}

TEST(GreedyDirections, SmallCodebooksBeginLargeOnesAndAllDiffer) {
  const std::vector<int16_t> small = generate_directions(DirectionSource::kE8Greedy, 8, 5);
  const std::vector<int16_t> large = generate_directions(DirectionSource::kE8Greedy, 8, 11);
  EXPECT_TRUE(std::equal(small.begin(), small.end(), large.begin()));
  std::set<std::vector<int16_t>> seen;
  for (auto p = large.begin(); p != large.end(); p += 8) seen.insert({p, p + 8});
  EXPECT_EQ(seen.size(), 2048u);
}

TEST(Directions, KmeansIsBetterThanRandom) {
  const auto mean_cosine = [](DirectionSource source) {
    const DirectionSearch search(unit_directions(generate_directions(source, 4, 7), 4));
    const Matrix<float> x = normal_matrix(20000, 4, 8);
    std::vector<DirectionHit> hits(x.rows());
    search.nearest(x.data(), x.rows(), hits.data());
    double sum = 0, norms = 0;
    for (size_t v = 0; v < x.rows(); ++v) {
      sum += double(hits[v].dot);
      norms += std::sqrt(double(x(v, 0) * x(v, 0) + x(v, 1) * x(v, 1) + x(v, 2) * x(v, 2) + x(v, 3) * x(v, 3)));
    }
    return sum / norms;
  };
  const double random = mean_cosine(DirectionSource::kRandom), kmeans = mean_cosine(DirectionSource::kKmeans);
  // No 128 directions in dimension 4 are better than caps of a 128th of the sphere. Their half angle t fulfils t - sin
  // t cos t = pi / 128, and the mean cosine is about 1 - 3/5 t^2 / 2 = .967.
  EXPECT_LT(kmeans, 0.967);
  EXPECT_GT(kmeans, 0.960);
  EXPECT_NEAR((1 - kmeans) / (1 - random), 0.7, 0.03);
}

class CacheFolder : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / fmt::format("occ-cache-test-{}", getpid());
    setenv("XDG_CACHE_HOME", folder_.c_str(), 1);
  }
  void TearDown() override {
    unsetenv("XDG_CACHE_HOME");
    std::filesystem::remove_all(folder_);
  }
  std::filesystem::path folder_;
};

TEST_F(CacheFolder, IsWrittenReadAndNotTrusted) {
  const auto get = [] { return cached_directions(DirectionSource::kKmeans, 4, 3); };
  const std::vector<int16_t> expected = generate_directions(DirectionSource::kKmeans, 4, 3);
  EXPECT_EQ(get(), expected);
  const std::filesystem::path file = folder_ / "occ" / "directions-kmeans-4-3.v1";
  ASSERT_EQ(std::filesystem::file_size(file), 8u + 8 * 4 * 2);
  EXPECT_EQ(get(), expected);
  std::fstream(file, std::ios::in | std::ios::out).seekp(20).put('x');
  EXPECT_EQ(get(), expected);  // the damaged cache file is repaired as well
  std::fstream(file, std::ios::in | std::ios::out).seekp(0, std::ios::end).put('x');
  EXPECT_EQ(get(), expected);
  std::filesystem::remove_all(folder_);
  std::ofstream(folder_) << "a file where the folder should be";
  EXPECT_EQ(get(), expected);
}

// A damaged file is refused before its directions are computed, which may take seconds.
TEST_F(CacheFolder, IsNotAskedForBeforeAVectorIsDecoded) {
  const QuantizerCase polar{"polar", {{"direction", "13"}, {"dim", "4"}, {"codebook", "kmeans"}}};
  const Bytes side(4 * sizeof(float) + 2 * sizeof(uint16_t));  // levels and scales of two rows, all zero
  ByteReader cut(ByteSpan(side).first(side.size() - 1), "test"), whole(side, "test");
  EXPECT_THROW(polar.entry().load(polar.params(), {2, 8}, cut), Error);
  EXPECT_NE(polar.entry().load(polar.params(), {2, 8}, whole), nullptr);
  EXPECT_FALSE(std::filesystem::exists(folder_));
}

// Points of equal length whose products with x are often equal, and other points.
TEST(DirectionSearch, FindsWhatTryingAllFinds) {
  for (const auto& [source, dim, bits] : {std::tuple{DirectionSource::kE8Greedy, size_t{8}, 11u},
                                          {DirectionSource::kE8Greedy, 8, 1},
                                          {DirectionSource::kE8Greedy, 8, 4},
                                          {DirectionSource::kRandom, 2, 1},
                                          {DirectionSource::kRandom, 2, 9},
                                          {DirectionSource::kRandom, 16, 10},
                                          {DirectionSource::kKmeans, 4, 10},
                                          {DirectionSource::kRandom, 4, 13}}) {
    SCOPED_TRACE(fmt::format("dim {} bits {}", dim, bits));
    const DirectionSearch search(unit_directions(generate_directions(source, dim, bits), dim));
    const Matrix<float>& p = search.points();
    Matrix<float> x = normal_matrix(700, dim, 3);
    for (size_t v = 0; v < x.rows(); ++v) {
      for (size_t i = 0; i < dim; ++i) {
        if (v % 7 == 1) x(v, i) = std::nearbyint(x(v, i));  // gives equal products
        if (v % 7 == 2) x(v, i) = p(v * 5 % p.rows(), i);   // the points themselves
        if (v % 7 == 3) x(v, i) = -p(v % p.rows(), i);      // vectors opposite to a point
        if (v % 7 == 4) x(v, i) = i == v % dim ? 1 : 0;
        if (v % 7 == 5) x(v, i) *= 1e14f;
        if (v % 7 == 6) x(v, i) *= 1e-9f;
      }
    }
    std::vector<DirectionHit> expected(x.rows());
    for (size_t v = 0; v < x.rows(); ++v) {
      float most = -INFINITY, square = 0;
      for (size_t i = 0; i < dim; ++i) square += x(v, i) * x(v, i);
      for (size_t k = 0; k < p.rows(); ++k) {
        float sum = x(v, 0) * p(k, 0);
        for (size_t i = 1; i < dim; ++i) sum += x(v, i) * p(k, i);
        if (sum > most) most = sum, expected[v] = {static_cast<uint32_t>(k), sum};
      }
      if (square < 1e-30f) expected[v] = {0, 0};
    }
    for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
      hwy::SetSupportedTargetsForTest(target);
      std::vector<DirectionHit> hits(x.rows());
      search.nearest(x.data(), x.rows(), hits.data());
      for (size_t v = 0; v < x.rows(); ++v) {
        ASSERT_EQ(hits[v].index, expected[v].index) << v << " " << hwy::TargetName(target);
        ASSERT_EQ(hits[v].dot, expected[v].dot);
      }
    }
    hwy::SetSupportedTargetsForTest(0);
  }
}

TEST(ChiLevels, AreThoseOfTheDensity) {
  // A single level is the mean, sqrt(2) Gamma((k + 1) / 2) / Gamma(k / 2).
  EXPECT_NEAR(chi_levels(8, 0)[0], std::sqrt(2.0) * std::tgamma(4.5) / std::tgamma(4.0), 1e-5);
  EXPECT_NEAR(chi_levels(2, 0)[0], std::sqrt(2.0) * std::tgamma(1.5), 1e-5);
  // Each level is the mean of its cell.
  const std::vector<double> levels = chi_levels(8, 2);
  std::vector<double> sum(4), weight(4);
  for (double r = 5e-5; r < 12; r += 1e-4) {
    size_t k = 0;
    while (k < 3 && (levels[k] + levels[k + 1]) / 2 < r) ++k;
    const double w = std::pow(r, 7) * std::exp(-r * r / 2);
    sum[k] += w * r;
    weight[k] += w;
  }
  for (size_t k = 0; k < 4; ++k) EXPECT_NEAR(levels[k], sum[k] / weight[k], 2e-3);
}

double distortion(const QuantizerCase& c) {
  const Matrix<float> x = normal_matrix(128, 1024, 9);
  return nmse_oracle(x.view(), quantize_whole(*c.fit(x.view()), x.view()).values.view());
}

// Independent prototypes measured an nmse of .0995 with 14 + 2 bits, .1439 with 12 + 2 bits, and .1047 with random
// directions.
TEST(Polar, HasTheDistortionOfThePaper) {
  EXPECT_NEAR(distortion({"polar", {{"radius", "norm"}}}), 0.0995, 0.002);
  EXPECT_NEAR(distortion({"polar", {{"radius", "norm"}, {"direction", "12"}}}), 0.1439, 0.0029);
  EXPECT_NEAR(distortion({"polar", {{"radius", "norm"}, {"codebook", "random"}}}), 0.1047, 0.0021);
}

TEST(Polar, ProjectedLengthsAreBetter) {
  const double norm = distortion({"polar", {{"direction", "11"}, {"radius", "norm"}}});
  const double projected = distortion({"polar", {{"direction", "11"}}});
  EXPECT_LT(projected, 0.96 * norm);
  EXPECT_GT(projected, 0.85 * norm);
  EXPECT_NEAR(distortion({"polar", {{"direction", "10"}, {"dim", "4"}, {"codebook", "kmeans"}}}), 0.0316, 0.0008);
}

TEST(Polar, CarriesErrorFeedback) {
  const Matrix<float> w = normal_matrix(64, 75, 1);
  const auto quantizer = QuantizerCase{"polar", {{"direction", "10"}}}.fit(w.view());
  const Square h = random_hessian(75, 3);
  const Coded plain = quantize_whole(*quantizer, w.view()), feedback = code_with_feedback(*quantizer, w, h);
  const double ratio = weighted_error(w, feedback.values, h) / weighted_error(w, plain.values, h);
  EXPECT_LT(ratio, 0.8);
  EXPECT_GT(ratio, 0.2);
}

TEST(Polar, RefusesCodebooksThatDoNotExist) {
  const Matrix<float> x = normal_matrix(2, 8);
  const Bytes side(4 * 4 + 2 * 2);
  for (const Params::Given& given : {Params::Given{{"dim", "4"}},
                                     {{"codebook", "kmeans"}, {"direction", "15"}},
                                     {{"codebook", "kmeans"}, {"dim", "16"}, {"direction", "4"}}}) {
    const QuantizerCase tested{"polar", given};
    const auto kind_of = [&](const auto& call) {
      try {
        call();
      } catch (const Error& e) {
        return e.kind();
      }
      return ErrorKind::kFailed;
    };
    EXPECT_EQ(kind_of([&] { tested.fit(x.view()); }), ErrorKind::kUsage);
    ByteReader reader(side, "test");
    EXPECT_EQ(kind_of([&] { tested.entry().load(tested.params(), x.shape(), reader); }), ErrorKind::kInput);
  }
}

}  // namespace
}  // namespace occ
