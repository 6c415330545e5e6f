// The stage `pq`: product quantization. pq.cc describes it.
#pragma once

#include <vector>

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry pq_entry();

// Returns the costs [cols] of squared errors in each column, with mean 1: the diagonal of the second moments H of the
// inputs, or L_ii^2 of H = L L^T if columns are coded with error feedback. Empty if the context has neither.
std::vector<float> column_weights(const FitContext& context, size_t cols);

}  // namespace occ
