// Truncated singular value decompositions, for the fit of `lowrank` and for those who decide how many components pay.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/params.h"
#include "transforms/transform.h"

namespace occ {

// The largest min(count, rows, cols) singular values of x (not squared), falling. A component of value s takes s^2 from
// the squared error. Exact if a dimension is at most 512, else a lower bound (lowrank_fit.cc): within 0.1 % where they
// stand out from those of noise, up to 10 % below where they do not.
std::vector<double> leading_singular_values(MatrixView<const float> x, size_t count, uint64_t seed);

std::unique_ptr<Transform> fit_lowrank(const Params& params, MatrixView<const float> x, const FitContext& context);

}  // namespace occ
