#include "calibration/moment_sum.h"

#include <algorithm>

#include "base/parallel.h"
#include "linalg/linalg.h"

namespace occ {
namespace {

constexpr size_t kSumTile = 256;     // rows and columns of the matrix that one task computes
constexpr size_t kSumTokens = 1024;  // number of tokens in a panel

// Number of tokens per input at which half as many white inputs are added as with few tokens.
constexpr double kManyTokens = 64;

// Damping of a correction, in units of the mean diagonal element of H. Measured with 4,096 tokens (0.3 to 1 are best at
// 64 to 172 inputs) and with 65,536 tokens (0.05 to 0.3 are best).
double correction_damping(size_t inputs, size_t tokens) {
  return 0.1 + 20 * static_cast<double>(inputs) / static_cast<double>(tokens);
}

}  // namespace

void add_moment(MatrixView<const float> x, MatrixView<const float> y, MatrixView<double> sum) {
  const size_t n = sum.rows(), tiles = ceil_div(n, kSumTile);
  const bool symmetric = x.data() == y.data();
  parallel_for(tiles * tiles, [&](size_t t) {
    const size_t i = t / tiles * kSumTile, j = t % tiles * kSumTile;
    if (symmetric && i < j) return;
    Matrix<float> part = Matrix<float>::uninitialized(std::min(kSumTile, n - i), std::min(kSumTile, n - j));
    for (size_t first = 0; first < x.rows(); first += kSumTokens) {
      const size_t rows = std::min(kSumTokens, x.rows() - first);
      gemm(Op::kTranspose, Op::kNone, 1.0f, x.sub({first, i, rows, part.rows()}), y.sub({first, j, rows, part.cols()}),
           0.0f, part.view());
      for (size_t r = 0; r < part.rows(); ++r) {
        for (size_t c = 0; c < part.cols(); ++c) sum(i + r, j + c) += static_cast<double>(part(r, c));
      }
    }
  });
}

void finish_moment(double scale, bool symmetric, MatrixView<double> sum) {
  for (size_t r = 0; r < sum.rows(); ++r) {
    for (size_t c = 0; c < sum.cols(); ++c) sum(r, c) = symmetric && c > r ? 0 : sum(r, c) * scale;
    for (size_t c = 0; symmetric && c < r; ++c) sum(c, r) = sum(r, c);
  }
}

MomentSum::MomentSum(size_t width, std::vector<float> token_roots, bool crossed)
    : h(width, width), roots_(std::move(token_roots)), crossed_(crossed) {
  if (crossed_) cross = Matrix<double>(width, width);
}

void MomentSum::add(std::span<const size_t> numbers, MatrixView<const float> x, MatrixView<const float> z) {
  tokens += z.rows();
  const size_t n = z.cols();
  const auto rooted = [&](const auto& row_of) {
    Matrix<float> out = Matrix<float>::uninitialized(z.rows(), n);
    for (size_t r = 0; r < z.rows(); ++r) {
      const float root = roots_.empty() ? 1 : roots_[numbers[r]];
      const float* from = row_of(r);
      for (size_t i = 0; i < n; ++i) out(r, i) = root * from[i];
    }
    return out;
  };
  const Matrix<float> now = rooted([&](size_t r) { return z.row(r); });
  add_moment(now.view(), now.view(), h.view());
  if (!crossed_) return;
  const Matrix<float> before = rooted([&](size_t r) { return x.row(numbers[r]); });
  add_moment(before.view(), now.view(), cross.view());
}

void MomentSum::average() {
  const double share = tokens == 0 ? 0 : 1 / static_cast<double>(tokens);
  finish_moment(share, true, h.view());
  if (crossed_) finish_moment(share, false, cross.view());
}

double mean_diagonal(MatrixView<const double> h) {
  double sum = 0;
  for (size_t i = 0; i < h.rows(); ++i) sum += h(i, i);
  return sum / static_cast<double>(h.rows());
}

Matrix<float> correction_of(MatrixView<const double> c, MatrixView<const double> h, size_t tokens) {
  const size_t n = h.rows();
  const double added = correction_damping(n, tokens) * mean_diagonal(h);
  Matrix<double> l = Matrix<double>::uninitialized(n, n), right = Matrix<double>::uninitialized(n, n);
  for (size_t r = 0; r < n; ++r) {
    std::copy_n(h.row(r), n, l.row(r));
    l(r, r) += added;
    for (size_t k = 0; k < n; ++k) right(k, r) = c(r, k) - h(r, k);
  }
  if (!(added > 0) || !cholesky(l.view())) return {};
  constexpr size_t kColumns = 128;
  parallel_for(ceil_div(n, kColumns), [&](size_t i) {
    const size_t col = i * kColumns, cols = std::min(kColumns, n - col);
    solve_lower(Op::kNone, l.view(), right.view().sub({0, col, n, cols}));
    solve_lower(Op::kTranspose, l.view(), right.view().sub({0, col, n, cols}));
  });
  Matrix<float> k = Matrix<float>::uninitialized(n, n);
  for (size_t r = 0; r < n; ++r) {
    for (size_t j = 0; j < n; ++j) k(r, j) = static_cast<float>(right(j, r));
  }
  return k;
}

void add_white(size_t tokens, MatrixView<double> h) {
  const auto width = static_cast<double>(h.rows()), t = static_cast<double>(tokens);
  const double n = width / (1 + t / (kManyTokens * width)), total = n + t;
  const double mean = mean_diagonal(h), white = mean > 0 ? mean : 1;
  for (size_t r = 0; r < h.rows(); ++r) {
    for (size_t c = 0; c < h.cols(); ++c) h(r, c) *= 1 - n / total;
    h(r, r) += white * n / total;
  }
}

}  // namespace occ
