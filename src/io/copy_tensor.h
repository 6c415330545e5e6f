// Copies tensors from a file that is read to one that is written.
#pragma once

#include <cstdint>
#include <functional>

#include "io/sink.h"
#include "tensor/tensor_file.h"

namespace occ {

// Writes all elements of tensor i of `file` as `dtype`, in order. Several panels are decoded at the same time, each by one
// thread. `progress` gets the bytes that were written. Input error for finite values that are too large for `dtype`; they
// would otherwise become infinite silently.
void copy_tensor(const TensorFile& file, size_t i, DType dtype, TensorSink& sink,
                 const std::function<void(uint64_t)>& progress = {});

// Whether all finite values of tensor i stay finite as `dtype`. Reads the tensor.
bool fits(const TensorFile& file, size_t i, DType dtype);

}  // namespace occ
