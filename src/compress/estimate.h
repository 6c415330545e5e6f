// Bytes and error of a recipe on one tensor, from a sample of its rows that is really coded.
#pragma once

#include "metrics/distortion.h"
#include "recipe/recipe.h"
#include "tensor/fit_context.h"
#include "tensor/row_source.h"

namespace occ {

struct Estimate {
  double bytes = 0;   // of the blob of the whole tensor
  double nmse = 0;    // 1 where it is not finite
  double energy = 0;  // sum of squares of the whole tensor
};

// Evenly spread rows with about `elements` values together; all rows if that is more than half of them.
Matrix<float> sample_rows(const RowSource& source, size_t elements);
// Where row r of such a sample comes from.
inline size_t sampled_row(size_t r, size_t sample_rows, size_t rows) {
  return sample_rows == rows ? r : (2 * r + 1) * rows / (2 * sample_rows);
}
// Codes the sample and scales what grows with the rows (EncodedMatrix::growing_bytes) up to `rows` rows; tables and
// side information for every column stay as they are.
Estimate estimate_blob(const Recipe& recipe, MatrixView<const float> sample, size_t rows, const FitContext& ctx,
                       const std::string& what);

}  // namespace occ
