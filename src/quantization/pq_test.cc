// Tests pq and opq and what they use: search and k-means against slow oracles, sizes against the budget, distortion
// against known quantizers.
#include "quantization/pq.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "hwy/targets.h"
#include "quantization/feedback_for_test.h"
#include "quantization/kmeans.h"
#include "quantization/nearest_centroid.h"
#include "quantization/product_codebook.h"
#include "simd/panel.h"

namespace occ {
namespace {

double distance(const float* x, const float* c, size_t d, std::span<const float> weights) {
  double sum = 0;
  for (size_t i = 0; i < d; ++i) {
    const double e = static_cast<double>(x[i]) - static_cast<double>(c[i]);
    sum += e * e * (weights.empty() ? 1 : static_cast<double>(weights[i]));
  }
  return sum;
}

TEST(CentroidSearch, FindsTheNearestOnEveryTarget) {
  for (const size_t d : {1, 2, 3, 4, 7, 8, 20}) {
    for (const size_t k : {1, 2, 9, 100}) {
      for (const bool weighted : {false, true}) {
        const Matrix<float> x = normal_matrix(16, d, 3 + d), centroids = normal_matrix(k, d, 4 + k);
        std::vector<float> weights;
        for (size_t i = 0; weighted && i < d; ++i) weights.push_back(0.1f + static_cast<float>(i));
        std::vector<float> panel(d * kPanelLanes);
        load_panel_rows(x.view(), panel.data());
        const CentroidSearch search(centroids.view(), weights);
        std::vector<float> first;
        for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
          hwy::SetSupportedTargetsForTest(target);
          uint32_t index[16];
          std::vector<float> value(16);
          search.nearest(panel.data(), index, value.data());
          for (size_t v = 0; v < 16; ++v) {
            double least = HUGE_VAL;
            for (size_t j = 0; j < k; ++j) least = std::min(least, distance(x.row(v), centroids.row(j), d, weights));
            ASSERT_LT(index[v], k);
            ASSERT_NEAR(distance(x.row(v), centroids.row(index[v]), d, weights), least, 1e-4 * (1 + least));
            const std::vector<float> zero(d);
            ASSERT_NEAR(static_cast<double>(value[v]), (least - distance(x.row(v), zero.data(), d, weights)) / 2,
                        1e-4 * (1 + least));
          }
          if (first.empty()) first = value;
          ASSERT_EQ(value, first) << hwy::TargetName(target);
        }
        hwy::SetSupportedTargetsForTest(0);
      }
    }
  }
  const Matrix<float> same(5, 3), x(16, 3);  // with equal distances the first centroid is taken
  uint32_t index[16];
  float value[16];
  CentroidSearch(same.view(), {}).nearest(x.data(), index, value);
  for (const uint32_t i : index) EXPECT_EQ(i, 0u);
}

TEST(Kmeans, EveryCentroidIsTheMeanOfItsVectors) {
  const Matrix<float> x = normal_matrix(3000, 4, 7);
  std::vector<double> row_weights;
  for (size_t r = 0; r < x.rows(); ++r) row_weights.push_back(r % 3 == 0 ? 5 : 1);
  const std::vector<float> weights = {1, 4, 1, 0.5f};
  KmeansOptions options{13, 1000, 1, weights, {}, row_weights};
  const Matrix<float> centroids = kmeans(x.view(), options);
  Matrix<double> sum(13, 4);
  std::vector<double> mass(13);
  for (size_t r = 0; r < x.rows(); ++r) {
    size_t best = 0;
    for (size_t j = 0; j < 13; ++j) {
      if (distance(x.row(r), centroids.row(j), 4, weights) < distance(x.row(r), centroids.row(best), 4, weights)) {
        best = j;
      }
    }
    mass[best] += row_weights[r];
    for (size_t i = 0; i < 4; ++i) sum(best, i) += row_weights[r] * static_cast<double>(x(r, i));
  }
  for (size_t j = 0; j < 13; ++j) {
    for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(static_cast<double>(centroids(j, i)), sum(j, i) / mass[j], 0.03);
  }
}

TEST(Kmeans, FindsAllDistinctVectors) {
  // There are 40 distinct vectors, some of them once among thousands. k-means++ and the repair of empty clusters must
  // find all.
  Matrix<float> x(5000, 2);
  for (size_t r = 0; r < x.rows(); ++r) {
    const size_t which = r % 997 == 0 ? r / 997 % 6 : 6 + r % 34;
    x(r, 0) = static_cast<float>(which % 7);
    x(r, 1) = static_cast<float>(which / 7);
  }
  const Matrix<float> centroids = kmeans(x.view(), {.k = 40, .iterations = 50, .seed = 3});
  std::set<std::pair<float, float>> found;
  for (size_t j = 0; j < 40; ++j) found.insert({centroids(j, 0), centroids(j, 1)});
  EXPECT_EQ(found.size(), 40u);
  const Matrix<float> few = kmeans(x.view().row_range(1, 3), {.k = 8, .iterations = 5});
  for (size_t j = 0; j < 8; ++j) EXPECT_TRUE(found.count({few(j, 0), few(j, 1)}));
}

// All centroids start at the same place, so all except one have empty clusters at once.
TEST(Kmeans, EmptyClustersStartAgain) {
  Matrix<float> x(400, 2);
  for (size_t r = 0; r < x.rows(); ++r) x(r, 0) = static_cast<float>(r % 8), x(r, 1) = -x(r, 0);
  const Matrix<float> start(8, 2);
  KmeansOptions options{.k = 8, .iterations = 50};
  options.start = start.view();
  const Matrix<float> centroids = kmeans(x.view(), options);
  std::set<float> found;
  for (size_t j = 0; j < 8; ++j) found.insert(centroids(j, 0));
  EXPECT_EQ(found.size(), 8u);
}

double distortion(const QuantizerCase& c, const Matrix<float>& x) {
  return nmse_oracle(x.view(), quantize_whole(*c.fit(x.view()), x.view()).values.view());
}

TEST(Pq, OfOneColumnIsLloydMax) {
  const Matrix<float> x = normal_matrix(20000, 3, 5);
  EXPECT_NEAR(distortion({"pq", {{"m", "3"}, {"k", "4"}, {"iterations", "200"}}}, x), 0.1175, 0.002);
  EXPECT_NEAR(distortion({"pq", {{"m", "3"}, {"k", "16"}, {"iterations", "200"}}}, x), 0.00950, 0.0004);
}

// Two bits per weight in 1, 2 and 4 dimensions. The limit for any dimension is .0625.
TEST(Pq, GainsWithTheDimension) {
  const Matrix<float> x = normal_matrix(40000, 4, 6);
  const double one = distortion({"pq", {{"m", "4"}, {"k", "4"}}}, x);
  const double two = distortion({"pq", {{"m", "2"}, {"k", "16"}}}, x);
  const double four = distortion({"pq", {{"m", "1"}, {"k", "256"}}}, x);
  EXPECT_LT(two, 0.95 * one);
  EXPECT_LT(four, 0.95 * two);
  EXPECT_GT(four, 0.085);
}

TEST(Pq, TakesNoMoreThanItsBits) {
  for (const Shape shape : {Shape{2048, 128}, Shape{300, 77}, Shape{20000, 6}, Shape{900, 1000}}) {
    const Matrix<float> x(shape.rows, shape.cols);
    for (const char* bits : {"0.5", "1", "2.7", "4", "8"}) {
      for (const char* name : {"pq", "opq", "qet"}) {
        for (const char* codebook : {"f16", "rtn"}) {
          const QuantizerCase c{name, {{"bits", bits}, {"codebook", codebook}, {"iterations", "1"}}};
          const auto quantizer = c.entry().blank(c.params(), shape);
          double total = 8 * static_cast<double>(side_bytes(*quantizer).size());
          for (const SymbolPlane& p : quantizer->planes()) {
            total += static_cast<double>(p.rows * p.cols * symbol_width(p.alphabet));
          }
          const double budget = std::stod(bits) * static_cast<double>(shape.size());
          // If even the smallest codebook, with one centroid, or the order bits alone exceed the budget, it cannot be
          // met.
          if (quantizer->planes()[0].alphabet > 1 || quantizer->planes().back().alphabet > 2) {
            EXPECT_LE(total, budget) << name << " " << bits << " " << shape.rows;
          }
          if (std::string(name) == "pq" && shape.rows >= 2048) {
            EXPECT_GE(total, 0.6 * budget) << bits;
          }
        }
      }
    }
  }
}

TEST(Pq, ReportsWhatItDoesOtherwise) {
  const Matrix<float> x = normal_matrix(12, 100);
  const auto reports = [&](const QuantizerCase& c) {
    std::vector<std::string> lines;
    FitContext context;
    context.fallbacks = &lines;
    quantizer_fit(c.entry())(c.params(), x.view(), context);
    return lines;
  };
  EXPECT_EQ(reports({"pq", {{"m", "20"}, {"k", "4"}}}).size(), 0u);
  ASSERT_EQ(reports({"pq", {{"m", "16"}, {"k", "4"}}}).size(), 1u);
  EXPECT_NE(reports({"pq", {{"m", "16"}, {"k", "4"}}})[0].find("15 of 7 columns, the last of 2"), std::string::npos);
  ASSERT_EQ(reports({"pq", {{"m", "20"}, {"k", "256"}}}).size(), 1u);  // more centroids than rows are reported
  EXPECT_EQ(distortion({"pq", {{"m", "20"}, {"k", "12"}}}, x) < 1e-6, true);
  ASSERT_EQ(reports({"pq", {{"bits", "0.02"}}}).size(), 1u);
}

TEST(Pq, WeighsColumnsByTheirMoments) {
  const Matrix<float> x = normal_matrix(4000, 8, 9);
  Matrix<double> h(8, 8);
  for (size_t i = 0; i < 8; ++i) h(i, i) = i % 2 == 0 ? 10 : 0.1;
  const QuantizerCase c{"pq", {{"m", "4"}, {"k", "16"}}};
  FitContext context;
  context.hessian = h.view();
  const auto error = [&](const FitContext& ctx) {
    const Coded coded = quantize_whole(*quantizer_fit(c.entry())(c.params(), x.view(), ctx), x.view());
    double sum = 0;
    for (size_t r = 0; r < x.rows(); ++r) {
      for (size_t i = 0; i < 8; ++i) {
        const double e = static_cast<double>(x(r, i)) - static_cast<double>(coded.values(r, i));
        sum += e * e * h(i, i);
      }
    }
    return sum;
  };
  EXPECT_LT(error(context), 0.35 * error({}));  // nearly all bits go to the columns with large weights
}

TEST(Pq, CarriesErrorFeedback) {
  const Matrix<float> w = normal_matrix(400, 48, 1);
  const auto quantizer = QuantizerCase{"pq", {{"m", "24"}, {"k", "16"}}}.fit(w.view());
  const Square h = random_hessian(48, 3);
  const Coded plain = quantize_whole(*quantizer, w.view()), feedback = code_with_feedback(*quantizer, w, h);
  const double ratio = weighted_error(w, feedback.values, h) / weighted_error(w, plain.values, h);
  EXPECT_LT(ratio, 0.8);
  EXPECT_GT(ratio, 0.2);
}

TEST(Pq, RoundedCodebooksCostLittle) {
  const Matrix<float> x = normal_matrix(5000, 16, 2, 0.16, 1);
  const double exact = distortion({"pq", {{"m", "8"}, {"k", "64"}}}, x);
  for (const char* scale : {"centroid", "column"}) {
    const double rounded =
        distortion({"pq", {{"m", "8"}, {"k", "64"}, {"codebook", "rtn"}, {"codebook_scale", scale}}}, x);
    EXPECT_NEAR(rounded / exact, 1, 0.02) << scale;
  }
  // With 4 bits, levels for each column are better for values far from 0, because they need not be symmetric.
  const auto coarse = [&](const char* scale) {
    return distortion(
        {"pq", {{"m", "8"}, {"k", "64"}, {"codebook", "rtn"}, {"codebook_bits", "4"}, {"codebook_scale", scale}}}, x);
  };
  EXPECT_LT(coarse("column") - exact, 0.6 * (coarse("centroid") - exact));
}

// Columns i and i + 4 are nearly equal. A rotation can use this; subspaces of neighbouring columns cannot.
TEST(Opq, FindsCoordinatesThatSuitTheSubspaces) {
  Matrix<float> x = normal_matrix(6000, 8, 4);
  const Matrix<float> noise = normal_matrix(6000, 8, 5, 0.1);
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 4; c < 8; ++c) x(r, c) = x(r, c - 4) + noise(r, c);
  }
  const double plain = distortion({"pq", {{"m", "4"}, {"k", "32"}}}, x);
  const double none = distortion({"opq", {{"m", "4"}, {"k", "32"}, {"block", "1"}}}, x);
  const double rotated = distortion({"opq", {{"m", "4"}, {"k", "32"}, {"block", "8"}, {"rounds", "30"}}}, x);
  EXPECT_NEAR(none / plain, 1, 0.05);
  EXPECT_LT(rotated, 0.5 * plain);
}

TEST(Opq, ClustersHelpWhereRowsHaveThem) {
  Matrix<float> x = normal_matrix(6000, 8, 4, 0.2);
  const Matrix<float> centers = normal_matrix(4, 8, 8, 3);
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < 8; ++c) x(r, c) += centers(r % 4, c);
  }
  const double one = distortion({"opq", {{"m", "4"}, {"k", "16"}, {"block", "1"}}}, x);
  const double four = distortion({"opq", {{"m", "4"}, {"k", "16"}, {"block", "1"}, {"clusters", "4"}}}, x);
  EXPECT_LT(four, 0.5 * one);
}

// Sizes whose products do not fit into 64 bits.
TEST(Opq, HugeSizesInAFileAreInputErrors) {
  const QuantizerCase c{"opq", {}};
  for (const uint64_t block : {uint64_t{1} << 32, uint64_t{1} << 33, uint64_t{2}}) {
    ByteWriter out;
    out.put_varint(1);
    out.put_varint(block);
    for (int i = 0; i < 10; ++i) out.put(uint64_t{0});
    const Bytes bytes = out.take();
    ByteReader side(bytes, "test");
    EXPECT_THROW(c.entry().load(c.params(), {1, size_t{1} << 33}, side), Error) << block;
  }
}

}  // namespace
}  // namespace occ
