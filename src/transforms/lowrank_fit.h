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

// The min(count, rows, cols) largest singular values of x, in falling order. A component with the singular value s
// takes s^2 from the squared error. They are exact if rows or cols is at most 512. Otherwise they are lower bounds
// (lowrank_fit.cc): within 0.1 % for values that stand out from those of noise, up to 10 % too small for others.
std::vector<double> leading_singular_values(MatrixView<const float> x, size_t count, uint64_t seed);

// The transform for the values x [rows, cols] of a tensor, with the least error of its outputs where the context has
// second moments of the inputs.
std::unique_ptr<Transform> fit_lowrank(const Params& params, MatrixView<const float> x, const FitContext& context);

}  // namespace occ
