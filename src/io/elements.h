// Functions that all readers of plain element arrays share: sizes without overflow, and reads that convert to f32.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/file.h"
#include "tensor/dtype.h"
#include "tensor/tensor_file.h"

namespace occ {

// Elements are converted in a stack buffer of this many bytes, which is small enough to stay in the first-level cache.
inline constexpr size_t kPanelBytes = size_t{16} << 10;

// The number of bytes of a tensor of this shape. Returns nothing if the size is 2^63 bytes or more, if there are more
// than 64 dimensions, or if a tensor without elements has other dimensions whose product is above 2^32 (callers loop
// over the rows even when the rows have no columns).
std::optional<uint64_t> tensor_bytes(const std::vector<uint64_t>& shape, DType dtype);

// The shape as text for messages, for example "[2, 3]". At most 16 dimensions are shown.
std::string shape_text(const std::vector<uint64_t>& shape);

// Aborts the program unless [first, first + count) lies within the tensor, because this is a bug of the caller.
void check_range(const TensorInfo& tensor, uint64_t first, uint64_t count);

// Reads `count` elements, which are stored as `dtype` from byte `offset` of the file on, and converts them to f32 in
// `out`. F32 is read into `out` directly. Input error if the file is too short. Thread-safe.
void read_elements_f32(const InputFile& file, uint64_t offset, DType dtype, uint64_t count, float* out);

}  // namespace occ
