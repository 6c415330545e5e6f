// The stage `pq`, see pq.cc.
#pragma once

#include <vector>

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry pq_entry();

// [cols] what a squared error of a column costs, mean 1: from the second moments of the inputs, or from what error
// feedback makes of them; empty without either.
std::vector<float> column_weights(const FitContext& context, size_t cols);

}  // namespace occ
