// Steps of loops over whole tensors.
#pragma once

#include <cstddef>

#include "tensor/tensor_file.h"

namespace occ {

// Rows of tensor i that decode together without waste: about 2^18 elements.
size_t panel_rows(const TensorFile& file, size_t i);

}  // namespace occ
