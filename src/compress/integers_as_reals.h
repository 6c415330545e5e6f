// Integers that are values and not indices can be coded like reals.
#pragma once

#include <memory>

#include "occ/compress.h"
#include "tensor/tensor_file.h"

namespace occ {

// `file` with the integer tensors that are to be coded presented as F32 (stored_type tells what they are): those for
// which options.tensors has a recipe or method, and all of them where a file holds nothing but matrices of 8-bit
// integers with 4,096 elements or more (.bvecs, .npy of int8: vectors of features) and does not keep them. Wider integers are usually indices and
// stay what they are. The same file if there are none.
std::unique_ptr<TensorFile> integers_as_reals(std::unique_ptr<TensorFile> file, const CompressOptions& options);

}  // namespace occ
