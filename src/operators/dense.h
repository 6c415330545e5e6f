// Operators with all weights as floats in RAM. Everything that is not compressed runs like this. dense.cc describes
// them.
#pragma once

#include <functional>
#include <memory>

#include "operators/operator.h"
#include "recipe/bound.h"

namespace occ {

// The operator of tensor `index` of a file; transposed: the tensor holds W^T. F32, F16 and BF16 tensors keep their
// type, all others become f32.
std::unique_ptr<Operator> make_dense(const TensorFile& file, size_t index, bool transposed);
// The operator of a recipe, with all values decoded to f32. `decoded` is called for all rows, panel by panel and from any
// thread, and may check them.
std::unique_ptr<Operator> make_dense(const BoundRecipe& recipe, bool transposed,
                                     const std::function<void(size_t row, MatrixView<const float> rows)>& decoded);

// The number of rows that are best decoded together: panels given to the recipe should begin at multiples of it.
size_t decoding_rows(const BoundRecipe& recipe);

}  // namespace occ
