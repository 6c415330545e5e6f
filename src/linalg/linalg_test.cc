#include "linalg/linalg.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/normal_matrix_for_test.h"
#include "base/parallel.h"

namespace occ {
namespace {

template <typename T>
Matrix<T> transposed(MatrixView<const T> a) {
  Matrix<T> out(a.cols(), a.rows());
  for (size_t r = 0; r < a.rows(); ++r) {
    for (size_t c = 0; c < a.cols(); ++c) out(c, r) = a(r, c);
  }
  return out;
}

// The oracle of all tests here: a matrix product with three loops.
template <typename T>
Matrix<T> slow_product(MatrixView<const T> a, MatrixView<const T> b) {
  Matrix<T> out(a.rows(), b.cols());
  for (size_t r = 0; r < a.rows(); ++r) {
    for (size_t c = 0; c < b.cols(); ++c) {
      for (size_t k = 0; k < a.cols(); ++k) out(r, c) += a(r, k) * b(k, c);
    }
  }
  return out;
}

template <typename T>
double max_difference(MatrixView<const T> a, MatrixView<const T> b) {
  EXPECT_EQ(a.shape(), b.shape());
  double worst = 0;
  for (size_t r = 0; r < a.rows(); ++r) {
    for (size_t c = 0; c < a.cols(); ++c) worst = std::max(worst, std::fabs(double{a(r, c)} - double{b(r, c)}));
  }
  return worst;
}

Matrix<double> identity(size_t n) {
  Matrix<double> out(n, n);
  for (size_t i = 0; i < n; ++i) out(i, i) = 1;
  return out;
}

Matrix<double> spd(size_t n, uint64_t seed) {
  const auto a = normal_matrix<double>(n, n + 5, seed);
  return slow_product<double>(a.view(), transposed<double>(a.view()).view());
}

constexpr size_t kSizes[] = {0, 1, 2, 5, 33, 70};

template <typename T>
void check_gemm(double tolerance) {
  for (const size_t m : {0, 1, 7, 20}) {
    for (const size_t k : {0, 1, 5, 30}) {
      for (const size_t n : {0, 1, 6, 17}) {
        const auto a = normal_matrix<T>(m, k, 1), b = normal_matrix<T>(k, n, 2);
        const auto at = transposed<T>(a.view()), bt = transposed<T>(b.view());
        const auto product = slow_product<T>(a.view(), b.view());
        for (const Op op_a : {Op::kNone, Op::kTranspose}) {
          for (const Op op_b : {Op::kNone, Op::kTranspose}) {
            auto wide = normal_matrix<T>(m, n + 3, 3);
            Matrix<T> expected(m, n);
            for (size_t r = 0; r < m; ++r) {
              for (size_t c = 0; c < n; ++c) expected(r, c) = T{2} * product(r, c) + wide(r, c + 1) / T{2};
            }
            const auto c = wide.view().sub({0, 1, m, n});
            gemm(op_a, op_b, T{2}, op_a == Op::kNone ? a.view() : at.view(), op_b == Op::kNone ? b.view() : bt.view(),
                 T{0.5}, c);
            ASSERT_LT(max_difference<T>(c, expected.view()), tolerance);
          }
        }
      }
    }
  }
}

TEST(Linalg, GemmF32) { check_gemm<float>(1e-4); }
TEST(Linalg, GemmF64) { check_gemm<double>(1e-12); }

TEST(Linalg, SecondMoment) {
  for (const size_t n : kSizes) {
    for (const size_t m : {0, 1, 255, 600}) {
      const auto x = normal_matrix<float>(m, n, 4);
      auto h = identity(n);
      add_second_moment(x.view(), h.view());
      auto expected = identity(n);
      for (size_t i = 0; i < n; ++i) {
        for (size_t j = 0; j < n; ++j) {
          for (size_t r = 0; r < m; ++r) expected(i, j) += double{x(r, i)} * x(r, j);
        }
      }
      ASSERT_LT(max_difference<double>(h.view(), expected.view()), 1e-11);
    }
  }
}

TEST(Linalg, Cholesky) {
  for (const size_t n : kSizes) {
    const auto a = spd(n, 5);
    auto l = a.clone();
    ASSERT_TRUE(cholesky(l.view()));
    for (size_t r = 0; r < n; ++r) {
      EXPECT_GT(l(r, r), 0);
      for (size_t c = r + 1; c < n; ++c) ASSERT_EQ(l(r, c), 0);
    }
    const auto back = slow_product<double>(l.view(), transposed<double>(l.view()).view());
    ASSERT_LT(max_difference<double>(a.view(), back.view()), 1e-11 * static_cast<double>(n + 1));
  }
}

TEST(Linalg, CholeskySaysNo) {
  auto indefinite = identity(3);
  indefinite(1, 1) = -1;
  EXPECT_FALSE(cholesky(indefinite.view()));
  Matrix<double> zero(2, 2);
  EXPECT_FALSE(cholesky(zero.view()));
}

TEST(Linalg, Solves) {
  for (const size_t n : kSizes) {
    const auto a = normal_matrix<double>(n, n, 8), b = normal_matrix<double>(n, 4, 9);
    auto x = b.clone();
    ASSERT_TRUE(solve(a.view(), x.view()));
    ASSERT_LT(max_difference<double>(slow_product<double>(a.view(), x.view()).view(), b.view()), 1e-9);
    auto l = spd(n, 10);
    ASSERT_TRUE(cholesky(l.view()));
    const auto lt = transposed<double>(l.view());
    for (const Op op : {Op::kNone, Op::kTranspose}) {
      auto y = b.clone();
      solve_lower(op, l.view(), y.view());
      const auto back = slow_product<double>(op == Op::kNone ? l.view() : lt.view(), y.view());
      ASSERT_LT(max_difference<double>(back.view(), b.view()), 1e-10);
    }
  }
  Matrix<double> singular(3, 3), b(3, 1);
  EXPECT_FALSE(solve(singular.view(), b.view()));
}

TEST(Linalg, EigenvectorsAreRows) {
  for (const size_t n : kSizes) {
    const auto a = spd(n, 11);
    auto v = a.clone();
    std::vector<double> values(n);
    eigh(v.view(), values);
    EXPECT_TRUE(std::is_sorted(values.begin(), values.end()));
    const auto vt = transposed<double>(v.view());
    ASSERT_LT(max_difference<double>(slow_product<double>(v.view(), vt.view()).view(), identity(n).view()), 1e-12);
    auto scaled = v.clone();
    for (size_t r = 0; r < n; ++r) {
      for (size_t c = 0; c < n; ++c) scaled(r, c) *= values[r];
    }
    ASSERT_LT(max_difference<double>(slow_product<double>(vt.view(), scaled.view()).view(), a.view()), 1e-10);
    auto destroyed = a.clone();
    std::vector<double> alone(n);
    eigenvalues(destroyed.view(), alone);
    for (size_t i = 0; i < n; ++i) ASSERT_NEAR(alone[i], values[i], 1e-12 * values.back());
  }
}

TEST(Linalg, SingularValues) {
  for (const size_t m : kSizes) {
    for (const size_t n : kSizes) {
      const auto a = normal_matrix<double>(m, n, 12);
      const Svd f = svd(a.view());
      const size_t k = std::min(m, n);
      ASSERT_EQ(f.u.shape(), (Shape{m, k}));
      ASSERT_EQ(f.vt.shape(), (Shape{k, n}));
      EXPECT_TRUE(std::is_sorted(f.s.data(), f.s.data() + k, std::greater<>()));
      auto scaled = f.vt.clone();
      for (size_t r = 0; r < k; ++r) {
        for (size_t c = 0; c < n; ++c) scaled(r, c) *= f.s(0, r);
      }
      ASSERT_LT(max_difference<double>(slow_product<double>(f.u.view(), scaled.view()).view(), a.view()), 1e-12);
      const auto gram = slow_product<double>(f.vt.view(), transposed<double>(f.vt.view()).view());
      ASSERT_LT(max_difference<double>(gram.view(), identity(k).view()), 1e-12);
    }
  }
}

TEST(Linalg, OrthonormalRows) {
  for (const size_t m : {0, 1, 4, 30}) {
    const auto a = normal_matrix<double>(m, 30, 13);
    auto q = a.clone();
    orthonormalize_rows(q.view());
    const auto gram = slow_product<double>(q.view(), transposed<double>(q.view()).view());
    ASSERT_LT(max_difference<double>(gram.view(), identity(m).view()), 1e-12);
    // Row i of a must be in the span of rows 0 .. i of q, with a positive coefficient for row i.
    const auto r = slow_product<double>(a.view(), transposed<double>(q.view()).view());
    for (size_t i = 0; i < m; ++i) {
      EXPECT_GT(r(i, i), 0);
      for (size_t j = i + 1; j < m; ++j) ASSERT_NEAR(r(i, j), 0, 1e-12);
    }
  }
}

TEST(Linalg, SameBitsFromManyThreads) {
  const auto a = normal_matrix<double>(120, 120, 14);
  const auto expected = [&] {
    Matrix<double> out(120, 120);
    gemm(Op::kNone, Op::kTranspose, 1.0, a.view(), a.view(), 0.0, out.view());
    return out;
  }();
  std::vector<double> worst(16);
  parallel_for(16, [&](size_t i) {
    Matrix<double> out(120, 120);
    gemm(Op::kNone, Op::kTranspose, 1.0, a.view(), a.view(), 0.0, out.view());
    worst[i] = max_difference<double>(out.view(), expected.view());
  });
  EXPECT_EQ(*std::max_element(worst.begin(), worst.end()), 0);
}

}  // namespace
}  // namespace occ
