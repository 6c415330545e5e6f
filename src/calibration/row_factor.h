// Error feedback between the rows of a tensor. The cost of their errors e_r = w_r - what_r with correlated gradients,
// sum_rs sqrt(G_r G_s) c_rs e_r H e_s^T (fisher.h), can be written as a sum of squares that is minimised row after row.
// With (C + damping I) / (1 + damping) = M D M^T, M unit upper triangular, it is
//
//   sum_r G_r D_r |u_r|_H^2,   u_r = v_r - what_r,   v_r = w_r + sum_{s < r} sqrt(G_s / G_r) M_sr e_s
//
// YAQA (arXiv 2505.22988) rounds with both factors, of rows and of columns; here rows go through a trellis.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "occ/matrix.h"

namespace occ {

struct RowFactor {
  Matrix<float> gains;          // [rows, at most kRowBlock] M_sr in row s, column r - (first row of the block)
  std::vector<double> weights;  // [rows] D_r, at most 1
};

// How many numbers TensorFisher::correlations has for so many rows.
size_t correlation_count(size_t rows);

// `correlations` as in TensorFisher, of `rows` rows.
RowFactor factor_rows(std::span<const int16_t> correlations, size_t rows, double damping);

}  // namespace occ
