// Products of several weights with the same inputs, as of queries, keys and values: in one parallel loop where that is
// possible, so that threads wait for each other once.
#pragma once

#include <span>

#include "operators/operator.h"

namespace occ {

struct Product {
  const Operator* weight;
  MatrixView<float> y;  // [n, rows of the weight]
};
// y = x W^T of every product. x [n, cols], the same number of columns for all. Outputs must not overlap x or each other.
void apply_together(MatrixView<const float> x, std::span<const Product> products);

}  // namespace occ
