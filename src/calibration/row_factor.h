// Error feedback between the rows of a tensor. With correlated gradients, the errors e_r = w_r - what_r of the rows
// (what_r is the decoded row) cost sum_rs sqrt(G_r G_s) c_rs e_r H e_s^T (fisher.h). That can be written as a sum of
// squares, which is minimised row after row: with (C + damping I) / (1 + damping) = M D M^T, where M is unit upper
// triangular, it is
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
  // [rows, at most kRowBlock] M_sr in row s, column r - (first row of the block).
  Matrix<float> gains;
  std::vector<double> weights;  // [rows] D_r, at most 1
};

// Returns the number of elements of TensorFisher::correlations for a tensor with `rows` rows.
size_t correlation_count(size_t rows);

// `correlations` is as in TensorFisher. A block of rows whose matrix is not positive definite gets no feedback.
RowFactor factor_rows(std::span<const int16_t> correlations, size_t rows, double damping);

}  // namespace occ
