// Oracles: the exact singular values (linalg svd) tell what every product of that rank must leave over; least squares
// by normal equations, written out in double, gives the best right plane for a given left one.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/normal_matrix_for_test.h"
#include "linalg/linalg.h"
#include "transforms/lowrank_fit.h"

namespace occ {
namespace {

// Returns sum_k strength 2^-k a_k b_k^T plus noise of unit variance, with normal a_k and b_k.
Matrix<float> signal_and_noise(size_t rows, size_t cols, size_t rank, double strength, uint64_t seed) {
  Matrix<float> x = normal_matrix(rows, cols, seed);
  const Matrix<float> a = normal_matrix(rows, rank, seed + 1), b = normal_matrix(rank, cols, seed + 2);
  for (size_t k = 0; k < rank; ++k) {
    const auto scale = static_cast<float>(strength * std::exp2(-double(k)));
    for (size_t r = 0; r < rows; ++r) {
      for (size_t c = 0; c < cols; ++c) x(r, c) += scale * a(r, k) * b(k, c);
    }
  }
  return x;
}

struct Factors {
  Matrix<float> left, right;
};

std::unique_ptr<Transform> fit(const Matrix<float>& x, size_t rank, const FitContext& context = {}) {
  const TransformEntry& entry = *find_transform("lowrank");
  return transform_fit(entry)(Params(entry.params, {{"rank", std::to_string(rank)}}, "lowrank"), x.view(), context);
}

Factors factors_of(const Transform& t, const Matrix<float>& x) {
  const Rect all{0, 0, x.rows(), x.cols()};
  const Shape l = t.plane_rect(0, all).shape(), r = t.plane_rect(1, all).shape();
  Factors p{Matrix<float>(l.rows, l.cols), Matrix<float>(r.rows, r.cols)};
  const MatrixView<float> views[] = {p.left.view(), p.right.view()};
  t.forward(all, x.view(), views);
  return p;
}

// Returns x - left right, computed through the transform.
Matrix<double> error_of(const Transform& t, const Factors& p, const Matrix<float>& x) {
  Matrix<float> y(x.rows(), x.cols());
  const MatrixView<const float> views[] = {p.left.view(), p.right.view()};
  t.inverse({0, 0, x.rows(), x.cols()}, views, y.view());
  Matrix<double> e(x.rows(), x.cols());
  for (size_t i = 0; i < x.size(); ++i) e.data()[i] = double{x.data()[i]} - y.data()[i];
  return e;
}

double energy(const Matrix<double>& m) {
  double sum = 0;
  for (size_t i = 0; i < m.size(); ++i) sum += m.data()[i] * m.data()[i];
  return sum;
}

// Returns tr(e h e^T).
double weighted(const Matrix<double>& e, const Matrix<double>& h) {
  double sum = 0;
  for (size_t r = 0; r < e.rows(); ++r) {
    for (size_t i = 0; i < e.cols(); ++i) {
      for (size_t j = 0; j < e.cols(); ++j) sum += e(r, i) * h(i, j) * e(r, j);
    }
  }
  return sum;
}

Matrix<double> to_double(const Matrix<float>& x) {
  Matrix<double> out(x.rows(), x.cols());
  for (size_t i = 0; i < x.size(); ++i) out.data()[i] = x.data()[i];
  return out;
}

std::vector<double> singular_values(const Matrix<double>& x) {
  const Svd d = svd(x.view());
  return {d.s.data(), d.s.data() + d.s.size()};
}

double tail(const std::vector<double>& s, size_t rank) {
  double sum = 0;
  for (size_t i = rank; i < s.size(); ++i) sum += s[i] * s[i];
  return sum;
}

// Second moments of inputs with correlated neighbours and variances that fall from column to column.
Matrix<double> inverse_distance_moments(size_t n) {
  Matrix<double> h(n, n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      const double lag = i > j ? double(i - j) : double(j - i);
      h(i, j) = 1e-5 * std::exp(-3.0 * double(i + j) / double(n)) * (std::pow(0.9, lag) + (i == j ? 0.1 : 0));
    }
  }
  return h;
}

TEST(LowRank, LeavesTheTailOfTheSingularValues) {
  struct Case {
    size_t rows, cols, rank;
    double strength, tolerance;
  };
  // Exact for dimensions up to 512. Above that randomized: for separated values, and for noise alone, which has no gap
  // between singular values.
  for (const Case c : {Case{60, 90, 5, 2, 1e-5}, Case{300, 40, 1, 2, 1e-5}, Case{600, 700, 4, 4, 1e-4},
                       Case{600, 700, 8, 2, 0.01}, Case{700, 560, 40, 8, 0.01}, Case{600, 600, 8, 0, 0.01}}) {
    const auto x = signal_and_noise(c.rows, c.cols, 8, c.strength, 3);
    const auto s = singular_values(to_double(x));
    const auto t = fit(x, c.rank);
    const double left_over = energy(error_of(*t, factors_of(*t, x), x));
    EXPECT_GE(left_over, tail(s, c.rank) * (1 - 1e-5));
    EXPECT_LE(left_over, tail(s, c.rank) * (1 + c.tolerance)) << c.rows << "x" << c.cols;
    const auto leading = leading_singular_values(x.view(), c.rank, 7);
    ASSERT_EQ(leading.size(), c.rank);
    for (size_t i = 0; i < c.rank; ++i) {
      EXPECT_LE(leading[i], s[i] * (1 + 1e-5)) << i;
      const double edge = std::sqrt(double(c.rows)) + std::sqrt(double(c.cols));  // largest singular value of noise
      EXPECT_GE(leading[i], s[i] * (s[i] > 2 * edge ? 0.999 : 0.9)) << i;
    }
  }
}

// tr(E H E^T) = |E L|^2 must be the sum of the squared smaller singular values of W L, up to the damping.
TEST(LowRank, IsBestInTheMetricOfTheSecondMoments) {
  for (const Shape shape : {Shape{80, 64}, Shape{560, 600}}) {
    const auto x = signal_and_noise(shape.rows, shape.cols, 6, 0.5, 11);
    const auto h = inverse_distance_moments(shape.cols);
    FitContext context;
    context.hessian = h.view();
    context.damping = 1e-6;
    Matrix<double> lower = h.clone();
    ASSERT_TRUE(cholesky(lower.view()));
    Matrix<double> wl(shape.rows, shape.cols);
    gemm(Op::kNone, Op::kNone, 1.0, to_double(x).view(), lower.view(), 0.0, wl.view());
    const auto s = singular_values(wl);
    const auto plain = fit(x, 6), best = fit(x, 6, context);
    const double left_over = weighted(error_of(*best, factors_of(*best, x), x), h);
    EXPECT_GE(left_over, tail(s, 6) * (1 - 1e-4));
    EXPECT_LE(left_over, tail(s, 6) * 1.01);
    EXPECT_LE(left_over, 0.9 * weighted(error_of(*plain, factors_of(*plain, x), x), h));
  }
}

TEST(LowRank, SecondMomentsThatSayNothingAreReported) {
  const auto x = normal_matrix(20, 12, 1);
  const Matrix<double> zeros(12, 12);
  FitContext context;
  std::vector<std::string> fallbacks;
  context.hessian = zeros.view();
  context.fallbacks = &fallbacks;
  const auto t = fit(x, 3, context), plain = fit(x, 3);
  EXPECT_EQ(fallbacks.size(), 1u);
  EXPECT_EQ(energy(error_of(*t, factors_of(*t, x), x)), energy(error_of(*plain, factors_of(*plain, x), x)));
}

// A column of left and a row of right share the singular value equally, and both planes have the same rms.
TEST(LowRank, PlanesShareTheScale) {
  const auto x = signal_and_noise(200, 50, 4, 8, 5);
  const auto t = fit(x, 4);
  const Factors p = factors_of(*t, x);
  const auto s = singular_values(to_double(x));
  for (size_t k = 0; k < 4; ++k) {
    double l = 0, r = 0;
    for (size_t i = 0; i < 200; ++i) l += double{p.left(i, k)} * p.left(i, k);
    for (size_t i = 0; i < 50; ++i) r += double{p.right(k, i)} * p.right(k, i);
    EXPECT_NEAR(std::sqrt(l * r), s[k], 1e-5 * s[k]);
    EXPECT_NEAR(std::sqrt(l / 200), std::sqrt(r / 50), 1e-5 * std::sqrt(l / 200));
  }
}

TEST(LowRank, RefineRepairsACoarseLeft) {
  const auto x = signal_and_noise(300, 120, 5, 16, 21);
  const auto t = fit(x, 5);
  for (const float step : {0.01f, 0.3f, 1.0f}) {  // in units of the rms
    Factors p = factors_of(*t, x);
    const double undisturbed = energy(error_of(*t, p, x));
    double square = 0;
    for (size_t i = 0; i < p.left.size(); ++i) square += double{p.left.data()[i]} * p.left.data()[i];
    const float unit = step * static_cast<float>(std::sqrt(square / double(p.left.size())));
    for (size_t i = 0; i < p.left.size(); ++i) p.left.data()[i] = unit * std::nearbyint(p.left.data()[i] / unit);
    const double before = energy(error_of(*t, p, x));

    // Oracle: (A^T A)^-1 A^T x, where A is the decoded left plane.
    Matrix<double> gram(5, 5), best(5, 120);
    for (size_t r = 0; r < 300; ++r) {
      for (size_t i = 0; i < 5; ++i) {
        for (size_t j = 0; j < 5; ++j) gram(i, j) += double{p.left(r, i)} * p.left(r, j);
        for (size_t c = 0; c < 120; ++c) best(i, c) += double{p.left(r, i)} * x(r, c);
      }
    }
    ASSERT_TRUE(solve(gram.view(), best.view()));
    Factors oracle{p.left.clone(), Matrix<float>(5, 120)};
    for (size_t i = 0; i < best.size(); ++i) oracle.right.data()[i] = static_cast<float>(best.data()[i]);
    const double least = energy(error_of(*t, oracle, x));

    const Matrix<float> left = p.left.clone();
    const MatrixView<const float> decoded[] = {p.left.view()};
    t->refine({0, 0, 300, 120}, 0, {}, p.left.view());
    t->refine({0, 0, 300, 120}, 1, decoded, p.right.view());
    for (size_t i = 0; i < left.size(); ++i) ASSERT_EQ(left.data()[i], p.left.data()[i]);
    const double after = energy(error_of(*t, p, x));
    EXPECT_LE(after, least * 1.005) << step;
    EXPECT_LT(after, before) << step;
    EXPECT_GE(before, undisturbed);
  }
}

// If the rank is higher than that of the matrix, the other components are zeros, and refine must handle them.
TEST(LowRank, MoreComponentsThanThereAre) {
  for (const Shape shape : {Shape{40, 30}, Shape{600, 530}}) {
    for (const size_t rank : {0, 2}) {  // rank of the matrix
      Matrix<float> x(shape.rows, shape.cols);
      for (size_t r = 0; r < shape.rows && rank == 2; ++r) {
        for (size_t c = 0; c < shape.cols; ++c) x(r, c) = float(r % 3) * float(c % 5) - float(r % 2) * float(c % 7);
      }
      const auto t = fit(x, 9);
      Factors p = factors_of(*t, x);
      const MatrixView<const float> decoded[] = {p.left.view()};
      t->refine({0, 0, shape.rows, shape.cols}, 1, decoded, p.right.view());
      EXPECT_LE(energy(error_of(*t, p, x)), 1e-10 * energy(to_double(x)));
      for (size_t i = 0; i < p.left.size(); ++i) ASSERT_TRUE(std::isfinite(p.left.data()[i]));
      for (size_t i = 0; i < p.right.size(); ++i) ASSERT_TRUE(std::isfinite(p.right.data()[i]));
      for (const double s : leading_singular_values(x.view(), 9, 1)) ASSERT_TRUE(std::isfinite(s));
    }
  }
}

TEST(LowRank, HugeAndTinyValuesThroughTheRandomizedPath) {
  const auto x = signal_and_noise(600, 540, 3, 16, 31);
  const auto t = fit(x, 3);
  const double expected = energy(error_of(*t, factors_of(*t, x), x)) / energy(to_double(x));
  for (const float scale : {1e35f, 1e-30f}) {
    Matrix<float> y = x.clone();
    for (size_t i = 0; i < y.size(); ++i) y.data()[i] *= scale;
    const auto scaled = fit(y, 3);
    EXPECT_NEAR(energy(error_of(*scaled, factors_of(*scaled, y), y)) / energy(to_double(y)), expected, 1e-4 * expected);
  }
}

TEST(LowRank, ShapesSayTheRank) {
  const auto x = normal_matrix(3, 8, 1);
  EXPECT_EQ(fit(x, 16)->plane_rect(0, {0, 0, 3, 8}), (Rect{0, 0, 3, 3}));
  EXPECT_EQ(fit(x, 0)->plane_rect(1, {0, 0, 3, 8}), (Rect{0, 0, 0, 8}));
  const auto t = fit(x, 0);
  EXPECT_EQ(energy(error_of(*t, factors_of(*t, x), x)), energy(to_double(x)));
  EXPECT_EQ(leading_singular_values(x.view(), 99, 1).size(), 3u);
  EXPECT_EQ(leading_singular_values(Matrix<float>(0, 8).view(), 99, 1).size(), 0u);
}

}  // namespace
}  // namespace occ
