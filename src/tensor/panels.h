// The step of loops over the rows of a whole tensor.
#pragma once

#include <cstddef>

#include "tensor/tensor_file.h"

namespace occ {

// The number of rows of tensor i (see matrix_shape) that a loop should read at once: about 2^18 elements, and a
// multiple of TensorFile::read_granularity.
size_t panel_rows(const TensorFile& file, size_t i);

}  // namespace occ
