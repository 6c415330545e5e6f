// Truncated singular value decompositions: the fit of the stage `lowrank`, and the singular values that tell how many
// components are worth their bits. Encoder only, needs BLAS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/params.h"
#include "transforms/transform.h"

namespace occ {

// Returns the min(count, rows, cols) largest singular values of x in descending order. A component with singular value
// s lowers the squared error by s^2. The values are exact if rows or cols is at most 512. Otherwise they are lower
// bounds (lowrank_fit.cc): within 0.1 % for values that stand out from those of noise, and up to 10 % too small for
// others.
std::vector<double> leading_singular_values(MatrixView<const float> x, size_t count, uint64_t seed);

// Makes the transform for the values x [rows, cols] of a tensor. If the context has second moments of the inputs, it
// has the least error of the outputs.
std::unique_ptr<Transform> fit_lowrank(const Params& params, MatrixView<const float> x, const FitContext& context);

}  // namespace occ
