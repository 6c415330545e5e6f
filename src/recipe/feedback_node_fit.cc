#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "linalg/linalg.h"
#include "recipe/feedback_node.h"
#include "simd/panel.h"

namespace occ {
namespace {

constexpr size_t kPanelRows = 512;
constexpr size_t kBlock = 16;  // columns of a block; products of fewer columns are too small for BLAS
constexpr double kMostDamping = 16;

void flip(MatrixView<const float> from, MatrixView<float> to) {
  if (from.rows() == 1 || from.cols() == 1) {
    std::copy_n(from.data(), from.size(), to.data());
  } else {
    transpose(from, to);
  }
}

// For the block B of columns [begin, begin + size) of `gains`, which contains L: replaces L_kB below the diagonal block
// by L_kB L_BB^-1. Uses back substitution.
void divide_by_diagonal_block(MatrixView<float> gains, size_t begin, size_t size) {
  const MatrixView<float> diagonal = gains.sub({begin, begin, size, size});
  std::vector<double> row(size);
  for (size_t k = begin + size; k < gains.rows(); ++k) {
    float* l = gains.row(k) + begin;
    for (size_t j = size; j-- > 0;) {
      double s = l[j];
      for (size_t i = j + 1; i < size; ++i) s -= row[i] * static_cast<double>(diagonal(i, j));
      row[j] = s / static_cast<double>(diagonal(j, j));
    }
    std::transform(row.begin(), row.end(), l, [](double x) { return static_cast<float>(x); });
  }
}

}  // namespace

std::optional<FeedbackFactor> factor_for_feedback(const FitContext& ctx) {
  const MatrixView<const double> h = ctx.hessian;
  const size_t n = h.rows();
  OCC_CHECK(h.cols() == n);
  double trace = 0;
  for (size_t r = 0; r < n; ++r) {
    trace += h(r, r);
    const double* bad = std::find_if_not(h.row(r), h.row(r) + n, [](double x) { return std::isfinite(x); });
    if (bad != h.row(r) + n) {
      throw_input("second moments of the inputs: expected finite numbers, found {} at row {}, column {}", *bad, r,
                  bad - h.row(r));
    }
  }
  const double mean = trace / static_cast<double>(n);
  if (!(mean > 0)) {
    ctx.report_fallback(
        fmt::format("coded without error feedback: the second moments of the inputs have mean {}", mean));
    return std::nullopt;
  }
  FeedbackFactor out;
  Matrix<double> l = Matrix<double>::uninitialized(n, n);
  for (double damping = ctx.damping;; damping = std::max(4 * damping, 1e-9)) {
    if (damping > kMostDamping) {
      ctx.report_fallback(fmt::format(
          "coded without error feedback: the second moments of the inputs are not positive, even damped by {}",
          kMostDamping));
      return std::nullopt;
    }
    out.added = damping * mean;
    for (size_t r = 0; r < n; ++r) {
      std::copy_n(h.row(r), n, l.row(r));
      l(r, r) += out.added;
    }
    if (!cholesky(l.view())) continue;
    if (damping != ctx.damping) {
      ctx.report_fallback(fmt::format("damping of the second moments raised from {:.3g} to {:.3g} of their mean",
                                      ctx.damping, damping));
    }
    break;
  }
  out.lower = Matrix<float>::uninitialized(n, n);
  out.scales.resize(n);
  for (size_t r = 0; r < n; ++r) {
    out.scales[r] = l(r, r);
    for (size_t c = 0; c < n; ++c) out.lower(r, c) = static_cast<float>(l(r, c));
  }
  return out;
}

// Buffers of one panel of rows. `targets` and `errors` are transposed: each of their rows is a column of the panel.
struct FeedbackNode::Panel {
  Rect at;
  // [cols, rows] v: weights plus the feedback of the columns coded before; in the end the decoded values.
  MatrixView<float> targets;
  MatrixView<float> errors;  // [cols, rows] first the weights, in the end their errors
  MatrixView<float> codes;   // [rows, unit] values in the form that the child takes
  MatrixView<float> deltas;  // [unit, rows] v - what
  MatrixView<float> sums;    // [2, rows] sums over one block: |(v - what) L_BB|^2 and |e|^2
};

FeedbackNode::FeedbackNode(std::unique_ptr<BoundRecipe> child, FeedbackFactor factor, MatrixView<const float> row_gains)
    : child_(std::move(child)),
      unit_(child_->granule().cols),
      added_(factor.added),
      gains_(std::move(factor.lower)),
      row_gains_(Matrix<float>::uninitialized(row_gains.rows(), row_gains.cols())),
      row_errors_(child_->shape().rows) {
  for (size_t r = 0; r < row_gains.rows(); ++r) std::copy_n(row_gains.row(r), row_gains.cols(), row_gains_.row(r));
  OCC_CHECK(unit_ != 0 && gains_.rows() == shape().cols && gains_.cols() == shape().cols);
  block_ = unit_ * std::max<size_t>(1, kBlock / unit_);
  for (size_t begin = 0; begin < shape().cols; begin += unit_) {
    divide_by_diagonal_block(gains_.view(), begin, std::min(unit_, shape().cols - begin));
  }
}

size_t FeedbackNode::panel_rows() const {
  const size_t unit = child_->granule().rows;
  return unit == 0 ? shape().rows : unit * ceil_div(std::max(kPanelRows, child_->panel_rows()), unit);
}

void FeedbackNode::quantize(const Rect& at, MatrixView<float> values) {
  OCC_CHECK(at.col == 0 && at.cols == shape().cols && values.shape() == at.shape());
  const size_t rows = panel_rows();
  parallel_for(rows == 0 ? 0 : ceil_div(at.rows, rows), [&](size_t i) {
    const Rect panel{at.row + i * rows, 0, std::min(rows, at.rows - i * rows), at.cols};
    code_panel(panel, values.row_range(i * rows, panel.rows));
  });
}

void FeedbackNode::code_panel(const Rect& at, MatrixView<float> values) {
  Matrix<float> targets = Matrix<float>::uninitialized(at.cols, at.rows);
  transpose(values, targets.view());
  Matrix<float> errors = targets.clone();
  Matrix<float> codes = Matrix<float>::uninitialized(at.rows, unit_);
  Matrix<float> deltas = Matrix<float>::uninitialized(unit_, at.rows);
  Matrix<float> sums(2, at.rows);
  double* row_errors = row_errors_.data() + at.row;
  std::fill_n(row_errors, at.rows, 0.0);
  const Panel panel{at, targets.view(), errors.view(), codes.view(), deltas.view(), sums.view()};
  code_columns(panel, 0, at.cols);
  if (row_gains_.size() != 0) count_fed_errors(panel);
  // Rounding can give a negative sum.
  for (size_t r = 0; r < at.rows; ++r) row_errors[r] = std::max(row_errors[r], 0.0);
  transpose(targets.view(), values);
}

// Codes columns [begin, end). `begin` is a multiple of block_, and the targets already include the feedback of all
// columns from `end` on. The columns are divided into halves recursively, so that nearly all feedback is computed by
// products of large matrices.
void FeedbackNode::code_columns(const Panel& panel, size_t begin, size_t end) {
  if (end - begin > block_) {
    const size_t middle = begin + ceil_div(ceil_div(end - begin, 2), block_) * block_;
    code_columns(panel, middle, end);
    gemm(Op::kTranspose, Op::kNone, 1.0f, gains_.view().sub({middle, begin, end - middle, middle - begin}),
         panel.errors.row_range(middle, end - middle), 1.0f, panel.targets.row_range(begin, middle - begin));
    return code_columns(panel, begin, middle);
  }
  for (size_t last = end; last > begin;) {
    const size_t first = (last - 1) / unit_ * unit_;
    for (size_t i = first; i < last; ++i) {
      float* to = panel.targets.row(i);
      for (size_t k = last; k < end; ++k) {
        const float gain = gains_(k, i);
        const float* from = panel.errors.row(k);
        for (size_t r = 0; r < panel.at.rows; ++r) to[r] += gain * from[r];
      }
    }
    code_granule(panel, first, last - first);
    last = first;
  }
  double* row_errors = row_errors_.data() + panel.at.row;
  for (size_t r = 0; r < panel.at.rows; ++r) {
    row_errors[r] += static_cast<double>(panel.sums(0, r)) - added_ * static_cast<double>(panel.sums(1, r));
    panel.sums(0, r) = panel.sums(1, r) = 0;
  }
}

void FeedbackNode::code_granule(const Panel& panel, size_t col, size_t cols) {
  const size_t rows = panel.at.rows;
  const MatrixView<float> targets = panel.targets.row_range(col, cols), deltas = panel.deltas.row_range(0, cols);
  const MatrixView<float> codes(panel.codes.data(), rows, cols);
  flip(targets, codes);
  child_->quantize({panel.at.row, col, rows, cols}, codes);
  flip(codes, deltas);
  for (size_t i = 0; i < cols; ++i) {
    float *target = targets.row(i), *error = panel.errors.row(col + i), *delta = deltas.row(i);
    float* plain = panel.sums.row(1);
    for (size_t r = 0; r < rows; ++r) {
      const float decoded = delta[r];
      delta[r] = target[r] - decoded;
      target[r] = decoded;
      error[r] -= decoded;
      plain[r] += error[r] * error[r];
    }
  }
  for (size_t j = 0; j < cols; ++j) {  // computes column j of (v - what) L_BB
    float* product = codes.data();
    std::fill_n(product, rows, 0.0f);
    for (size_t i = j; i < cols; ++i) {
      const float l = gains_(col + i, col + j);
      const float* delta = deltas.row(i);
      for (size_t r = 0; r < rows; ++r) product[r] += l * delta[r];
    }
    float* weighted = panel.sums.row(0);
    for (size_t r = 0; r < rows; ++r) weighted[r] += product[r] * product[r];
  }
}

// If the errors e_s of rows are fed into later rows, the error that matters is u_r = e_r + sum_s gain(s, r) e_s.
void FeedbackNode::count_fed_errors(const Panel& panel) {
  OCC_CHECK(unit_ == 1);
  const size_t rows = panel.at.rows, cols = panel.at.cols, block = row_gains_.cols();
  Matrix<float> u = Matrix<float>::uninitialized(cols, rows), product = Matrix<float>::uninitialized(cols, rows);
  std::copy_n(panel.errors.data(), u.size(), u.data());
  for (size_t r = 0; r < rows;) {
    const size_t in_block = (panel.at.row + r) % block, n = std::min(rows - r, block - in_block);
    gemm(Op::kNone, Op::kNone, 1.0f, panel.errors.sub({0, r, cols, n}),
         row_gains_.view().sub({panel.at.row + r, in_block, n, n}), 1.0f, u.view().sub({0, r, cols, n}));
    r += n;
  }
  gemm(Op::kTranspose, Op::kNone, 1.0f, gains_.view(), u.view(), 0.0f, product.view());
  double* sums = row_errors_.data() + panel.at.row;
  std::fill_n(sums, rows, 0.0);
  for (size_t c = 0; c < cols; ++c) {
    const float l = gains_(c, c);
    for (size_t r = 0; r < rows; ++r) {
      const float error = u(c, r), weighted = l * (product(c, r) - l * error + error);
      sums[r] += static_cast<double>(weighted * weighted) - added_ * static_cast<double>(error * error);
    }
  }
}

bool FeedbackNode::weighted_errors(std::span<double> rows) const {
  OCC_CHECK(rows.size() == row_errors_.size());
  std::copy(row_errors_.begin(), row_errors_.end(), rows.begin());
  return true;
}

std::unique_ptr<BoundRecipe> fit_with_feedback(
    Shape shape, const FitContext& ctx, const std::function<std::unique_ptr<BoundRecipe>(const FitContext&)>& fit) {
  OCC_CHECK(ctx.hessian.rows() == shape.cols);
  std::optional<FeedbackFactor> factor = factor_for_feedback(ctx);
  FitContext below = ctx;
  if (!factor) {
    below.hessian = {};
    return fit(below);
  }
  below.feedback_scales = factor->scales;
  std::unique_ptr<BoundRecipe> child = fit(below);
  if (child->granule().cols == 0) {
    ctx.report_fallback("coded without error feedback: the code needs all columns at once");
    return child;
  }
  return std::make_unique<FeedbackNode>(std::move(child), std::move(*factor), ctx.row_gains);
}

}  // namespace occ
