#include "calibration/row_factor.h"

#include <algorithm>

#include "base/check.h"
#include "calibration/fisher.h"
#include "linalg/linalg.h"

namespace occ {

size_t correlation_count(size_t rows) {
  const size_t last = rows % kRowBlock;
  return rows / kRowBlock * (kRowBlock * (kRowBlock + 1) / 2) + last * (last + 1) / 2;
}

RowFactor factor_rows(std::span<const int16_t> correlations, size_t rows, double damping) {
  OCC_CHECK(correlations.size() == correlation_count(rows));
  RowFactor out;
  out.gains = Matrix<float>(rows, std::min(rows, kRowBlock));
  out.weights.assign(rows, 1.0);
  const double unit = 0x1p-15 / (1 + damping);
  size_t at = 0;
  for (size_t first = 0; first < rows; first += kRowBlock) {
    const size_t n = std::min(kRowBlock, rows - first);
    // The Cholesky factor is lower triangular. Rows and columns are taken in reverse order to get an upper triangular
    // one.
    Matrix<double> l(n, n);
    for (size_t r = 0; r < n; ++r) {
      for (size_t s = 0; s < r; ++s) l(n - 1 - s, n - 1 - r) = unit * static_cast<double>(correlations[at++]);
      l(n - 1 - r, n - 1 - r) = 1;
      ++at;
    }
    if (!cholesky(l.view())) continue;  // not positive definite because of rounding: these rows get no feedback
    for (size_t s = 0; s < n; ++s) {
      const double diagonal = l(n - 1 - s, n - 1 - s);
      out.weights[first + s] = diagonal * diagonal;
      for (size_t r = s + 1; r < n; ++r) {
        const double d = l(n - 1 - r, n - 1 - r);
        out.gains(first + s, r) = static_cast<float>(l(n - 1 - s, n - 1 - r) / d);
      }
    }
  }
  return out;
}

}  // namespace occ
