// Weights that are stored with one scale for the tensor, each row, or each block.
#pragma once

#include <utility>

#include "io/quantized.h"

namespace occ {

// Tensor `weight` of floats of 8 bits or of I8, times the scales of tensor `scale`. Its blocks are `configured` (rows,
// columns; 0: unknown) if the number of scales fits, and otherwise equal parts. Input error if no blocks fit.
QuantizedWeight scaled_weight(const StoredTensors& tensors, size_t weight, size_t scale, const std::string& type,
                              std::pair<size_t, size_t> configured);

// Values of E2M1 with scales for groups of the last dimension.
struct Fp4Parts {
  std::string name, type;
  size_t packed = 0, scale = 0;  // [.., cols / 2] u8, the low half first; [.., groups] of E4M3, or u8: exponent + 127
  std::optional<size_t> global;  // one value that all scales are multiplied with
  bool divides = false;          // they are divided by it, and the quotient is rounded to scale_dtype
  DType scale_dtype = DType::kF32;
  DType dtype = DType::kF32;  // of the values
};
QuantizedWeight packed_fp4_weight(const StoredTensors& tensors, const Fp4Parts& parts);

}  // namespace occ
