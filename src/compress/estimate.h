// Estimates the bytes and the error of a recipe on one tensor by coding a sample of its rows.
#pragma once

#include <optional>

#include "metrics/distortion.h"
#include "recipe/recipe.h"
#include "tensor/fit_context.h"
#include "tensor/row_source.h"

namespace occ {

struct Estimate {
  double bytes = 0;   // bytes of the blob of the whole tensor
  double nmse = 0;    // 1 if the error is not finite
  double energy = 0;  // sum of squares of the whole tensor
  // The error of the outputs as in EncodedMatrix. Only if there are second moments.
  std::optional<double> weighted_error = std::nullopt;
  double padding = 0;  // part of `bytes` that only fills the blob up to its alignment (container/blob.h)
};

// Returns evenly spread rows with about `elements` values in total, or all rows if that is more than half of them.
Matrix<float> sample_rows(const RowSource& source, size_t elements);
// Returns the index in the matrix of row r of such a sample. `rows` is the number of rows of the matrix.
inline size_t sampled_row(size_t r, size_t sample_rows, size_t rows) {
  return sample_rows == rows ? r : (2 * r + 1) * rows / (2 * sample_rows);
}
// Codes the sample and scales the bytes that grow with the rows (EncodedMatrix::growing_bytes) up to `rows` rows. Bytes
// of tables and of side information for columns are not scaled. `what` names the tensor in errors.
Estimate estimate_blob(const Recipe& recipe, MatrixView<const float> sample, size_t rows, const FitContext& ctx,
                       const std::string& what);

}  // namespace occ
