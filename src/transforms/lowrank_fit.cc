// Fits `lowrank` (lowrank.cc). The product of the planes has the least squared error |W - left right|^2 or, where the
// second moments H = E[x x^T] of the inputs are known, the least tr((W - left right) H (W - left right)^T).
//
//   H + damping = L L^T,   W L ~ U diag(s) V^T truncated to r components,   left = U s^1/2,   right = s^-1/2 U^T W
//
// This right is the least-squares fit of W given left. It equals s^1/2 V^T L^-1 but needs no solution of a linear
// system, and it is zero where s is. The singular values are split evenly between the planes, which is best if both are
// coded with steps proportional to their size: a step in left then has the weighted cost sum s_i, as in right. One more
// factor gives both planes the same rms.
//
// Small matrices get an exact SVD in f64, larger ones the randomized range finder of Halko, Martinsson & Tropp (2011,
// algorithms 4.4 and 5.1) with r + 10 Gaussian directions and four power iterations, orthonormalised in f64 at every
// half step; products with W are in f32. Cost: 10 (r + 10) multiply-adds per element, and cols^3 / 3 to factor H.
//
// refine() replaces the right plane by (A'^T A')^-1 A'^T (left right), where A' is the decoded left plane: the
// least-squares fit to the product of the original planes. W itself is not needed, since left^T (W - left right) = 0:
// the residual would add only the product of two small matrices, the error of A' and the residual.
#include "transforms/lowrank_fit.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/rng.h"
#include "linalg/linalg.h"
#include "transforms/axis.h"
#include "transforms/lowrank.h"

namespace occ {
namespace {

constexpr size_t kExact = 512;  // the SVD is exact if the smaller dimension is at most this
constexpr size_t kOversampling = 10;
constexpr int kPowerIterations = 4;
constexpr double kNegligible = 1e-12;  // relative to the largest singular value

struct Truncated {
  Matrix<double> ut;         // [r, rows] U^T
  std::vector<double> s;     // [r]
  Matrix<double> projected;  // [r, cols] U^T W
};

template <typename To, typename From>
Matrix<To> converted(MatrixView<From> from, double factor = 1) {
  Matrix<To> out = Matrix<To>::uninitialized(from.rows(), from.cols());
  for (size_t r = 0; r < from.rows(); ++r) {
    for (size_t c = 0; c < from.cols(); ++c) out(r, c) = static_cast<To>(factor * static_cast<double>(from(r, c)));
  }
  return out;
}

Matrix<double> product(Op op_a, MatrixView<const double> a, MatrixView<const double> b) {
  Matrix<double> out = Matrix<double>::uninitialized(op_a == Op::kNone ? a.rows() : a.cols(), b.cols());
  gemm(op_a, Op::kNone, 1.0, a, b, 0.0, out.view());
  return out;
}

// `lower` is L [cols, cols], or empty if there is no H.
Truncated exact_svd(MatrixView<const float> w, MatrixView<const double> lower, size_t rank) {
  const Matrix<double> wide = converted<double>(w);
  const Svd d = lower.size() == 0 ? svd(wide.view()) : svd(product(Op::kNone, wide.view(), lower).view());
  Truncated out{Matrix<double>(rank, w.rows()), {d.s.data(), d.s.data() + rank}, {}};
  for (size_t i = 0; i < rank; ++i) {
    for (size_t r = 0; r < w.rows(); ++r) out.ut(i, r) = d.u(r, i);
  }
  out.projected = product(Op::kNone, out.ut.view(), wide.view());
  return out;
}

// Products of thin f64 matrices with W L and its transpose, computed in f32. 1 / unit is about the largest |W|.
class FloatProducts {
 public:
  FloatProducts(MatrixView<const float> w, MatrixView<const double> lower, double unit)
      : w_(w), lower_(converted<float>(lower)), unit_(unit) {}
  // Returns q W [k, cols] for q [k, rows].
  Matrix<float> onto_rows(const Matrix<double>& q) const {
    return multiply(converted<float>(q.view(), unit_), Op::kNone, w_);
  }
  // Returns q W L.
  Matrix<double> forth(const Matrix<double>& q) const { return converted<double>(weighted(onto_rows(q)).view()); }
  // Returns q L^T W^T [k, rows] for q [k, cols].
  Matrix<double> back(const Matrix<double>& q) const {
    Matrix<float> t = converted<float>(q.view(), unit_);
    if (lower_.size() != 0) t = multiply(std::move(t), Op::kTranspose, lower_.view());
    return converted<double>(multiply(std::move(t), Op::kTranspose, w_).view());
  }
  Matrix<float> weighted(Matrix<float> z) const {
    return lower_.size() == 0 ? std::move(z) : multiply(std::move(z), Op::kNone, lower_.view());
  }

 private:
  static Matrix<float> multiply(Matrix<float> a, Op op, MatrixView<const float> b) {
    Matrix<float> out = Matrix<float>::uninitialized(a.rows(), op == Op::kNone ? b.cols() : b.rows());
    gemm(Op::kNone, op, 1.0f, a.view(), b, 0.0f, out.view());
    return out;
  }

  MatrixView<const float> w_;
  Matrix<float> lower_;
  double unit_;
};

Truncated randomized_svd(MatrixView<const float> w, MatrixView<const double> lower, size_t rank, uint64_t seed) {
  float largest = 0;
  for (size_t r = 0; r < w.rows(); ++r) {
    for (size_t c = 0; c < w.cols(); ++c) largest = std::max(largest, std::fabs(w(r, c)));
  }
  const double unit = std::exp2(-std::clamp(largest > 0 ? std::ilogb(largest) : 0, -100, 100));
  const FloatProducts products(w, lower, unit);

  const size_t count = std::min({rank + kOversampling, w.rows(), w.cols()});
  Matrix<double> directions(count, w.cols());
  Rng rng(mix64(seed));
  for (size_t i = 0; i < directions.size(); ++i) directions.data()[i] = rng.normal();
  Matrix<double> range = products.back(directions);
  orthonormalize_rows(range.view());
  for (int i = 0; i < kPowerIterations; ++i) {
    directions = products.forth(range);
    orthonormalize_rows(directions.view());
    range = products.back(directions);
    orthonormalize_rows(range.view());
  }
  Matrix<float> rows = products.onto_rows(range);
  const Matrix<double> projected = converted<double>(rows.view(), 1 / unit);
  const Svd d = svd(converted<double>(products.weighted(std::move(rows)).view(), 1 / unit).view());
  const MatrixView<const double> u = d.u.view().sub({0, 0, count, rank});
  return {product(Op::kTranspose, u, range.view()),
          {d.s.data(), d.s.data() + rank},
          product(Op::kTranspose, u, projected.view())};
}

Truncated truncated_svd(MatrixView<const float> w, MatrixView<const double> lower, size_t rank, uint64_t seed) {
  const size_t full = std::min(w.rows(), w.cols());
  OCC_CHECK(rank <= full);
  for (size_t r = 0; r < w.rows(); ++r) {
    const bool finite = std::all_of(w.row(r), w.row(r) + w.cols(), [](float v) { return std::isfinite(v); });
    if (!finite) throw_input("lowrank: expected finite values, found some beyond the range of f32");
  }
  if (rank == 0) return {Matrix<double>(0, w.rows()), {}, Matrix<double>(0, w.cols())};
  if (full <= kExact || rank + kOversampling >= full) return exact_svd(w, lower, rank);
  return randomized_svd(w, lower, rank, seed);
}

// Returns L with L L^T = H / (mean of its diagonal) + damping. The damping is raised until the factor exists. Empty if
// there is no H, or if H cannot be used.
Matrix<double> factor(const FitContext& context) {
  const MatrixView<const double> h = context.hessian;
  double mean = 0;
  for (size_t i = 0; i < h.rows(); ++i) mean += h(i, i) / static_cast<double>(h.rows());
  if (h.size() == 0) return {};
  for (double damping = std::max(context.damping, 1e-9); mean > 0 && std::isfinite(mean) && damping < 1e3;
       damping *= 10) {
    Matrix<double> lower = converted<double>(h, 1 / mean);
    for (size_t i = 0; i < h.rows(); ++i) lower(i, i) += damping;
    if (cholesky(lower.view())) return lower;
  }
  context.report_fallback("lowrank: second moments are not positive definite, fitted without them");
  return {};
}

class FittedLowRank final : public LowRank {
 public:
  FittedLowRank(const Params& params, Shape shape, const Truncated& d)
      : LowRank(params, shape), left_(shape.rows, rank()), right_(rank(), shape.cols) {
    // Squared norms of the components in both planes, before the planes get the same rms.
    std::vector<double> to_left(rank()), to_right(rank());
    double left_energy = 0, right_energy = 0;
    for (size_t i = 0; i < rank() && d.s[i] > kNegligible * d.s[0]; ++i) {
      const double* u = d.ut.row(i);
      const double most =
          *std::max_element(u, u + shape.rows, [](double a, double b) { return std::fabs(a) < std::fabs(b); });
      to_left[i] = std::copysign(std::sqrt(d.s[i]), most);
      to_right[i] = 1 / to_left[i];
      left_energy += d.s[i];
      for (size_t c = 0; c < shape.cols; ++c) {
        const double v = to_right[i] * d.projected(i, c);
        right_energy += v * v;
      }
    }
    const double ratio = right_energy / static_cast<double>(shape.cols) * static_cast<double>(shape.rows) / left_energy;
    const double gain = left_energy > 0 && right_energy > 0 ? std::pow(ratio, 0.25) : 1;
    for (size_t i = 0; i < rank(); ++i) {
      for (size_t r = 0; r < shape.rows; ++r) left_(r, i) = static_cast<float>(to_left[i] * gain * d.ut(i, r));
      for (size_t c = 0; c < shape.cols; ++c) {
        right_(i, c) = static_cast<float>(to_right[i] / gain * d.projected(i, c));
      }
    }
  }
  void forward(const Rect&, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    OCC_CHECK(x.shape() == shape());
    copy_matrix<float>(left_.view(), planes[0]);
    copy_matrix<float>(right_.view(), planes[1]);
  }
  void refine(const Rect&, size_t plane, std::span<const MatrixView<const float>> decoded,
              MatrixView<float> values) const override {
    if (plane != 1 || values.size() == 0) return;
    const Matrix<double> a = converted<double>(decoded[0]);
    const Matrix<double> fitted = converted<double>(left_.view());
    Matrix<double> gram = product(Op::kTranspose, a.view(), a.view());
    Matrix<double> mix = product(Op::kTranspose, a.view(), fitted.view());
    double largest = 0;
    for (size_t i = 0; i < rank(); ++i) largest = std::max(largest, gram(i, i));
    for (size_t i = 0; i < rank(); ++i) gram(i, i) += 1e-8 * largest;
    if (!(largest > 0) || !solve(gram.view(), mix.view())) return;
    const Matrix<double> right = converted<double>(right_.view());
    const Matrix<double> best = product(Op::kNone, mix.view(), right.view());
    for (size_t r = 0; r < values.rows(); ++r) {
      for (size_t c = 0; c < values.cols(); ++c) values(r, c) = static_cast<float>(best(r, c));
    }
  }

 private:
  Matrix<float> left_, right_;
};

}  // namespace

std::vector<double> leading_singular_values(MatrixView<const float> x, size_t count, uint64_t seed) {
  return truncated_svd(x, {}, std::min({count, x.rows(), x.cols()}), seed).s;
}

std::unique_ptr<Transform> fit_lowrank(const Params& params, MatrixView<const float> x, const FitContext& context) {
  OCC_CHECK(context.hessian.size() == 0 || context.hessian.rows() == x.cols());
  const Matrix<double> lower = factor(context);
  const size_t rank = LowRank(params, x.shape()).rank();
  return std::make_unique<FittedLowRank>(params, x.shape(), truncated_svd(x, lower.view(), rank, context.seed));
}

}  // namespace occ
