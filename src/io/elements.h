// What the readers of flat element arrays share: sizes that cannot overflow and reads that convert panel by panel.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/file.h"
#include "tensor/dtype.h"
#include "tensor/tensor_file.h"

namespace occ {

// Conversions go through a stack buffer of this size: it stays in the first-level cache.
inline constexpr size_t kPanelBytes = size_t{16} << 10;

// Bytes of a tensor of this shape. Nothing if the size is not below 2^63, if there are more than 64 dimensions, or if
// an empty tensor has other dimensions whose product is above 2^32 (callers loop over rows even when these have no
// columns).
std::optional<uint64_t> tensor_bytes(const std::vector<uint64_t>& shape, DType dtype);

// "[2, 3]"
std::string shape_text(const std::vector<uint64_t>& shape);

// Aborts unless [first, first + count) lies within the tensor: a bug of the caller.
void check_range(const TensorInfo& tensor, uint64_t first, uint64_t count);

// `count` elements stored as `dtype` at byte `offset` of the file, as f32. F32 is read in place. Thread-safe.
void read_elements_f32(const InputFile& file, uint64_t offset, DType dtype, uint64_t count, float* out);

}  // namespace occ
