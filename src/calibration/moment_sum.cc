#include "calibration/moment_sum.h"

#include <algorithm>

#include "base/parallel.h"
#include "linalg/linalg.h"

namespace occ {
namespace {

constexpr size_t kTile = 256;   // rows and columns of a task
constexpr size_t kRows = 1024;  // tokens of a panel

}  // namespace

void add_moment(MatrixView<const float> x, MatrixView<const float> y, MatrixView<double> sum) {
  const size_t n = sum.rows(), tiles = ceil_div(n, kTile);
  const bool symmetric = x.data() == y.data();
  parallel_for(tiles * tiles, [&](size_t t) {
    const size_t i = t / tiles * kTile, j = t % tiles * kTile;
    if (symmetric && i < j) return;
    Matrix<float> part = Matrix<float>::uninitialized(std::min(kTile, n - i), std::min(kTile, n - j));
    for (size_t first = 0; first < x.rows(); first += kRows) {
      const size_t rows = std::min(kRows, x.rows() - first);
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

}  // namespace occ
