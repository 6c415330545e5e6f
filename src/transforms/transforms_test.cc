// Tests what single transforms promise beyond the common suite (registry_test.cc), and a toy that uses `refine`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/normal_matrix_for_test.h"
#include "tensor/dtype.h"
#include "transforms/transform.h"

namespace occ {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Transform> fit(std::string_view name, const Params::Given& given, MatrixView<const float> x,
                               const FitContext& context = {}) {
  const TransformEntry& entry = *find_transform(name);
  return transform_fit(entry)(Params(entry.params, given, name), x, context);
}

Matrix<float> forward(const Transform& t, const Matrix<float>& x) {
  Matrix<float> y(x.rows(), x.cols());
  const MatrixView<float> planes[] = {y.view()};
  t.forward({0, 0, x.rows(), x.cols()}, x.view(), planes);
  return y;
}
template <typename Call>
void expect_error(ErrorKind kind, const std::string& words, const Call& call) {
  try {
    call();
    ADD_FAILURE() << "expected an error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind);
    EXPECT_THAT(e.what(), HasSubstr(words));
  }
}

TEST(Signs, FollowTheBitsOfTheSeededWords) {
  Matrix<float> ones(70, 200);
  std::fill_n(ones.data(), ones.size(), 1.0f);
  const auto in = forward(*fit("signs", {{"seed", "5"}}, ones.view()), ones);
  const auto out = forward(*fit("signs", {{"seed", "5"}, {"axis", "out"}}, ones.view()), ones);
  const auto sign = [](uint64_t i) { return (random_word(5, i / 64) >> (i % 64) & 1) != 0 ? -1.0f : 1.0f; };
  double sum = 0;
  for (size_t r = 0; r < 70; ++r) {
    for (size_t c = 0; c < 200; ++c) {
      ASSERT_EQ(in(r, c), sign(c));
      ASSERT_EQ(out(r, c), sign(r));
    }
  }
  for (size_t c = 0; c < 200; ++c) sum += in(0, c);
  EXPECT_LT(std::fabs(sum), 60);  // four standard deviations
}

TEST(Hadamard, BlocksOfOddSizes) {
  // The response to a unit impulse shows which block contains it.
  const auto support = [](size_t n, const Params::Given& params, size_t at) {
    Matrix<float> x(1, n);
    x(0, at) = 1;
    const auto y = forward(*fit("hadamard", params, x.view()), x);
    size_t first = n, last = 0;
    for (size_t i = 0; i < n; ++i) {
      if (y(0, i) != 0) first = std::min(first, i), last = i;
    }
    return std::pair{first, last + 1};
  };
  using Range = std::pair<size_t, size_t>;
  EXPECT_EQ(support(331, {}, 0), (Range{0, 256}));
  EXPECT_EQ(support(331, {}, 256), (Range{256, 320}));
  EXPECT_EQ(support(331, {}, 321), (Range{320, 328}));
  EXPECT_EQ(support(331, {}, 329), (Range{328, 330}));
  EXPECT_EQ(support(331, {}, 330), (Range{330, 331}));
  EXPECT_EQ(support(576, {}, 575), (Range{0, 576}));
  EXPECT_EQ(support(576, {{"odd", "split"}}, 575), (Range{512, 576}));
  EXPECT_EQ(support(5632, {}, 1), (Range{0, 5632}));
  EXPECT_EQ(support(331, {{"block", "128"}}, 200), (Range{128, 256}));
  EXPECT_EQ(support(331, {{"block", "128"}}, 300), (Range{256, 320}));
  EXPECT_EQ(support(331, {{"block", "128"}}, 330), (Range{330, 331}));
}

TEST(Hadamard, KroneckerIsDctOfBlocks) {
  // Oracle: y[i, a] = sum_{l, b} D[i, l] H[a, b] x[l, b] for 12 = 3 * 4.
  const auto x = normal_matrix(1, 12, 1);
  const auto y = forward(*fit("hadamard", {}, x.view()), x);
  for (size_t i = 0; i < 3; ++i) {
    for (size_t a = 0; a < 4; ++a) {
      double sum = 0;
      for (size_t l = 0; l < 3; ++l) {
        const double d = std::sqrt((i == 0 ? 1.0 : 2.0) / 3) * std::cos(std::numbers::pi * double((2 * l + 1) * i) / 6);
        for (size_t b = 0; b < 4; ++b) sum += d * (std::popcount(a & b) % 2 == 0 ? 0.5 : -0.5) * x(0, l * 4 + b);
      }
      EXPECT_NEAR(y(0, i * 4 + a), sum, 1e-6);
    }
  }
}

TEST(Hadamard, FlattensAnOutlier) {
  Matrix<float> x(1, 4096);
  x(0, 1234) = 64;
  const auto y = forward(*fit("hadamard", {}, x.view()), x);
  for (size_t i = 0; i < 4096; ++i) ASSERT_EQ(std::fabs(y(0, i)), 1.0f);
}

TEST(Hadamard, RefusesALargeOddFactor) {
  const Matrix<float> x(1, 331);
  expect_error(ErrorKind::kUsage, "found 331", [&] { fit("hadamard", {{"odd", "kronecker"}}, x.view()); });
}

TEST(Dct, MatchesTheDefinitionAlongBothAxes) {
  const auto x = normal_matrix(6, 20, 2);
  const auto y = forward(*fit("dct", {}, x.view()), x), z = forward(*fit("dst", {}, x.view()), x);
  const auto down = forward(*fit("dct", {{"axis", "out"}}, x.view()), x);
  const auto weight = [](size_t k, size_t n) { return std::sqrt((k == 0 ? 1.0 : 2.0) / double(n)); };
  for (size_t r = 0; r < 6; ++r) {
    for (size_t k = 0; k < 20; ++k) {
      double cosine = 0, sine = 0, vertical = 0;
      for (size_t j = 0; j < 20; ++j) {
        cosine += x(r, j) * std::cos(std::numbers::pi * double((2 * j + 1) * k) / 40);
        sine += x(r, j) * std::sin(std::numbers::pi * double((2 * j + 1) * (k + 1)) / 40);
      }
      for (size_t j = 0; j < 6; ++j) vertical += x(j, k) * std::cos(std::numbers::pi * double((2 * j + 1) * r) / 12);
      EXPECT_NEAR(y(r, k), weight(k, 20) * cosine, 2e-6);
      EXPECT_NEAR(z(r, k), weight(19 - k, 20) * sine, 2e-6);
      EXPECT_NEAR(down(r, k), weight(r, 6) * vertical, 2e-6);
    }
  }
}

TEST(Dct, AConstantRowBecomesOneNumber) {
  Matrix<float> x(1, 576);
  std::fill_n(x.data(), 576, 2.0f);
  const auto y = forward(*fit("dct", {}, x.view()), x);
  EXPECT_NEAR(y(0, 0), 48, 2e-5);
  for (size_t i = 1; i < 576; ++i) EXPECT_NEAR(y(0, i), 0, 2e-5);
}

// Rows in a subspace of 3 dimensions: three coordinates must have all of the energy, sorted by energy and uncorrelated.
TEST(Pca, ConcentratesLowRankData) {
  const auto factors = normal_matrix(200, 3, 3), basis = normal_matrix(3, 40, 4);
  Matrix<float> x(200, 40);
  for (size_t r = 0; r < 200; ++r) {
    for (size_t c = 0; c < 40; ++c) {
      for (size_t k = 0; k < 3; ++k) x(r, c) += factors(r, k) * basis(k, c);
    }
  }
  const auto t = fit("pca", {}, x.view());
  const auto y = forward(*t, x);
  std::vector<double> energy(40);
  double cross = 0;
  for (size_t r = 0; r < 200; ++r) {
    for (size_t c = 0; c < 40; ++c) energy[c] += double{y(r, c)} * y(r, c);
    cross += double{y(r, 0)} * y(r, 1);
  }
  EXPECT_GT(energy[0], energy[1]);
  EXPECT_GT(energy[1], energy[2]);
  double tail = 0;
  for (size_t c = 3; c < 40; ++c) tail += energy[c];
  EXPECT_LT(tail, 1e-5 * energy[2]);
  EXPECT_LT(std::fabs(cross), 2e-3 * std::sqrt(energy[0] * energy[1]));
  ByteWriter side;
  t->save(side);
  EXPECT_EQ(side.size(), 40 * 40 * 2);
}

TEST(Pca, HessianBasisDiagonalisesTheHessian) {
  Matrix<double> h(24, 24);
  const auto a = normal_matrix(24, 24, 5);
  for (size_t i = 0; i < 24; ++i) {
    for (size_t j = 0; j < 24; ++j) {
      for (size_t k = 0; k < 24; ++k) h(i, j) += double{a(i, k)} * a(j, k);
    }
  }
  const auto x = normal_matrix(4, 24, 6);
  FitContext context;
  context.hessian = h.view();
  const auto t = fit("pca", {{"of", "hessian"}}, x.view(), context);
  t->transform_hessian(h.view());
  for (size_t i = 0; i < 24; ++i) {
    if (i > 0) {
      EXPECT_GE(h(i - 1, i - 1), h(i, i) * 0.999);
    }
    for (size_t j = 0; j < i; ++j) EXPECT_LT(std::fabs(h(i, j)), 1e-3 * h(0, 0));
  }
  expect_error(ErrorKind::kUsage, "of=hessian", [&] { fit("pca", {{"of", "hessian"}}, x.view()); });
}

TEST(RowScale, RowsGetUnitRmsAndScalesAreCharged) {
  auto x = normal_matrix(4, 300, 7);
  for (size_t c = 0; c < 300; ++c) x(0, c) *= 1e4f, x(1, c) = 0, x(2, c) *= 1e-39f, x(3, c) = c == 0 ? 3.4e38f : 0;
  const auto t = fit("rowscale", {}, x.view());
  const auto y = forward(*t, x);
  for (const size_t r : {0, 2, 3}) {
    double energy = 0;
    for (size_t c = 0; c < 300; ++c) energy += double{y(r, c)} * y(r, c);
    EXPECT_NEAR(std::sqrt(energy / 300), 1, r == 2 ? 0.1 : 0.005) << r;  // a subnormal scale has few bits
  }
  for (size_t c = 0; c < 300; ++c) EXPECT_EQ(y(1, c), 0);
  ByteWriter side;
  t->save(side);
  EXPECT_EQ(side.size(), 8);
}

// With one step after this stage, the errors of rows are proportional to 1 / weight.
TEST(RowScale, ByWeightIsTheRootOfTheWeight) {
  const auto x = normal_matrix(4, 50, 7);
  const std::vector<double> weights = {0.25, 1, 2.75, 0};
  const TransformEntry* entry = find_transform("rowscale");
  const Params params(entry->params, {{"by", "weight"}}, "rowscale");
  const auto weighted = entry->fit(params, x.view(), FitContext{.row_weights = weights});
  const auto y = forward(*weighted, x);
  for (size_t r = 0; r < 3; ++r) {
    for (size_t c = 0; c < 50; ++c)
      EXPECT_NEAR(y(r, c), x(r, c) * std::sqrt(weights[r]), 0.005 * std::abs(x(r, c)) * 2);
  }
  for (size_t c = 0; c < 50; ++c) EXPECT_LT(std::abs(y(3, c)), 1e-10);  // a row whose errors cost nothing gets no bits
  const auto plain = forward(*entry->fit(params, x.view(), FitContext{}), x);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(plain.data()[i], x.data()[i]);
}

TEST(Split, PlanesAreTheRowsAndSizesAreChecked) {
  const auto x = normal_matrix(10, 3, 8);
  const auto t = fit("split", {{"rows", "4"}}, x.view());
  EXPECT_EQ(t->plane_rect(0, {2, 1, 5, 2}), (Rect{2, 1, 2, 2}));
  EXPECT_EQ(t->plane_rect(1, {2, 1, 5, 2}), (Rect{0, 1, 3, 2}));
  EXPECT_EQ(t->plane_rect(0, {6, 0, 4, 3}).rows, 0);
  EXPECT_EQ(t->plane_rect(1, {6, 0, 4, 3}), (Rect{2, 0, 4, 3}));
  EXPECT_EQ(t->plane_rect(1, {0, 0, 4, 3}).rows, 0);
  expect_error(ErrorKind::kUsage, "found 11", [&] { fit("split", {{"rows", "11"}}, x.view()); });
  const TransformEntry& entry = *find_transform("split");
  ByteReader side({}, "file");
  expect_error(ErrorKind::kInput, "found 11", [&] {
    entry.load(Params(entry.params, {{"rows", "11"}}, "split"), x.shape(), side);
  });
}

// A toy with the planes `coarse` and `rest`. What coding loses in plane 0 goes into plane 1, through refine.
class CoarseAndRest final : public Transform {
 public:
  explicit CoarseAndRest(MatrixView<const float> x) : x_(x) {}
  TransformTraits traits() const override { return {}; }
  void forward(const Rect&, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    for (size_t r = 0; r < x.rows(); ++r) {
      for (size_t c = 0; c < x.cols(); ++c)
        planes.front()(r, c) = std::round(x(r, c)), planes.back()(r, c) = x(r, c) - planes.front()(r, c);
    }
  }
  void inverse(const Rect&, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const override {
    for (size_t r = 0; r < x.rows(); ++r) {
      for (size_t c = 0; c < x.cols(); ++c) x(r, c) = planes.front()(r, c) + planes.back()(r, c);
    }
  }
  void refine(const Rect& at, size_t plane, std::span<const MatrixView<const float>> decoded,
              MatrixView<float> out) const override {
    if (plane != 1) return;
    const auto x = x_.sub(at);
    for (size_t r = 0; r < out.rows(); ++r) {
      for (size_t c = 0; c < out.cols(); ++c) out(r, c) = x(r, c) - decoded[0](r, c);
    }
  }

 private:
  MatrixView<const float> x_;
};

TEST(Refine, PlaneOneCarriesTheErrorOfPlaneZero) {
  const auto x = normal_matrix(9, 14, 9);
  const CoarseAndRest t(x.view());
  const Rect at{2, 0, 5, 14};
  Matrix<float> coarse(5, 14), rest(5, 14), plain(5, 14), refined(5, 14);
  const MatrixView<float> planes[] = {coarse.view(), rest.view()};
  t.forward(at, x.view().sub(at), planes);
  for (size_t i = 0; i < coarse.size(); ++i) coarse.data()[i] *= 0.75f;  // simulates lossy coding of plane 0
  const MatrixView<const float> decoded[] = {coarse.view(), rest.view()};
  t.inverse(at, decoded, plain.view());
  t.refine(at, 0, std::span(decoded).first(0), coarse.view());
  t.refine(at, 1, std::span(decoded).first(1), rest.view());
  t.inverse(at, decoded, refined.view());
  double plain_error = 0, refined_error = 0;
  for (size_t r = 0; r < 5; ++r) {
    for (size_t c = 0; c < 14; ++c) {
      plain_error += std::fabs(plain(r, c) - x(r + 2, c));
      refined_error += std::fabs(refined(r, c) - x(r + 2, c));
    }
  }
  EXPECT_GT(plain_error, 5);
  EXPECT_LT(refined_error, 1e-5);
}

}  // namespace
}  // namespace occ
