#include "model/row_orders.h"

#include <algorithm>

#include "base/check.h"
#include "simd/panel.h"

namespace occ {

Matrix<float> gather_rows(const Matrix<float>& w, const std::vector<size_t>& from) {
  OCC_CHECK(from.size() == w.rows());  // WeightLoader compared the shapes with the configuration
  Matrix<float> out = Matrix<float>::uninitialized(w.rows(), w.cols());
  for (size_t r = 0; r < from.size(); ++r) {
    OCC_CHECK(from[r] < w.rows());
    std::copy_n(w.row(from[r]), w.cols(), out.row(r));
  }
  return out;
}

std::vector<size_t> rotary_rows(size_t heads, size_t head_dim, size_t rotary_dim, RopePairs to) {
  std::vector<size_t> from(heads * head_dim);
  const size_t half = rotary_dim / 2;
  for (size_t r = 0; r < from.size(); ++r) {
    const size_t base = r - r % head_dim, i = r % head_dim;
    if (i >= rotary_dim) {
      from[r] = r;
    } else if (to == RopePairs::kAdjacent) {
      from[r] = base + (i % 2) * half + i / 2;
    } else {
      from[r] = base + 2 * (i % half) + i / half;
    }
  }
  return from;
}

std::vector<size_t> fused_rows(size_t heads, size_t head_dim, bool to_by_head) {
  std::vector<size_t> from(3 * heads * head_dim);
  for (size_t h = 0; h < heads; ++h) {
    for (size_t p = 0; p < 3; ++p) {
      for (size_t i = 0; i < head_dim; ++i) {
        const size_t by_head = (h * 3 + p) * head_dim + i, by_part = (p * heads + h) * head_dim + i;
        (to_by_head ? from[by_head] : from[by_part]) = to_by_head ? by_part : by_head;
      }
    }
  }
  return from;
}

Matrix<float> transposed(const Matrix<float>& w) {
  Matrix<float> out = Matrix<float>::uninitialized(w.cols(), w.rows());
  transpose(w.view(), out.view());
  return out;
}

}  // namespace occ
