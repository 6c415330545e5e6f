// Orders of the rows of weights, in which the forms of a model differ (convert.h).
#pragma once

#include <cstddef>
#include <vector>

#include "model/config.h"
#include "occ/matrix.h"

namespace occ {

// Row r of the result is row from[r] of w. There are as many numbers as rows.
Matrix<float> gather_rows(const Matrix<float>& w, const std::vector<size_t>& from);
// For every row of `heads` heads, where it stands in the other order of rotary pairs; `to`: the order of the result.
std::vector<size_t> rotary_rows(size_t heads, size_t head_dim, size_t rotary_dim, RopePairs to);
// The same for a fused weight: q, k, v of one head after the other (to_by_head), or all q, all k, all v.
std::vector<size_t> fused_rows(size_t heads, size_t head_dim, bool to_by_head);
Matrix<float> transposed(const Matrix<float>& w);

}  // namespace occ
