// Dense weights in RAM. Everything that is not compressed runs like this; see dense.cc.
#pragma once

#include <functional>
#include <memory>

#include "operators/operator.h"
#include "recipe/bound.h"

namespace occ {

// F32, F16 and BF16 tensors keep their type, all others become f32.
std::unique_ptr<Operator> make_dense(const TensorFile& file, size_t index, bool transposed);
// All values of a recipe, as f32. `decoded` is told of all rows, panel by panel, from any thread: it may check them.
std::unique_ptr<Operator> make_dense(const BoundRecipe& recipe, bool transposed,
                                     const std::function<void(size_t row, MatrixView<const float> rows)>& decoded);

// Rows that dequantize takes and decodes without waste: panels begin at multiples of it.
size_t decoding_rows(const BoundRecipe& recipe);

}  // namespace occ
