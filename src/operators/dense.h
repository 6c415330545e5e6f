// Dense weights in RAM. Everything that is not compressed runs like this; see dense.cc.
#pragma once

#include <memory>

#include "operators/operator.h"

namespace occ {

// F32, F16 and BF16 tensors keep their type, all others become f32.
std::unique_ptr<Operator> make_dense(const TensorFile& file, size_t index, bool transposed);
// Decoded values.
std::unique_ptr<Operator> make_dense(Matrix<float> values);

}  // namespace occ
