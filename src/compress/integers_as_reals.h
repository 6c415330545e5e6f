// Tensors of integers that are values, not indices, can be coded like real numbers.
#pragma once

#include <memory>

#include "occ/compress.h"
#include "tensor/tensor_file.h"

namespace occ {

// Returns `file` with some integer tensors presented as F32, so that they are coded; stored_type names their real type.
// These are the tensors for which options.tensors has a recipe or a method. If the file holds nothing but matrices of
// 8-bit integers with 4,096 elements or more (vectors of features, as in .bvecs or an .npy of int8) and the options do
// not keep them, it is all tensors. Wider integers are usually indices and do not change. Without such tensors the file
// is returned as it is.
std::unique_ptr<TensorFile> integers_as_reals(std::unique_ptr<TensorFile> file, const CompressOptions& options);

}  // namespace occ
