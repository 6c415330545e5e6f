// Errors of the rows of a tensor that cost sum_rs sqrt(G_r G_s) c_rs e_r H e_s^T (fisher.h) as a sum of squares that
// can be minimized row after row, as error feedback does it with columns: with M unit upper triangular and
// e_r = w_r - what_r it is
//
//   sum_r G_r D_r |u_r|_H^2,   u_r = v_r - what_r,   v_r = w_r + sum_{s < r} sqrt(G_s / G_r) M_sr e_s
//   (C + damping I) / (1 + damping) = M D M^T
//
// (YAQA, arXiv 2505.22988, rounds with both factors; here rows go down a trellis).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "occ/matrix.h"

namespace occ {

struct RowFactor {
  Matrix<float> gains;          // [rows, kRowBlock at most] M_sr in row s, column r - (first row of the block)
  std::vector<double> weights;  // [rows] D_r, at most 1
};

// Numbers in the correlations of so many rows.
size_t correlation_count(size_t rows);

// `correlations` as TensorFisher has them, of `rows` rows.
RowFactor factor_rows(std::span<const int16_t> correlations, size_t rows, double damping);

}  // namespace occ
