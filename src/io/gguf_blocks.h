// The tensor types of GGUF files: sizes of their blocks and how a block becomes floats.
//
// A row of a tensor is a sequence of blocks of block_elements values in block_bytes bytes. Values are
// scale * q (- offset), with q an integer or an entry of a fixed table; the super-blocks of the K types hold 256
// values in sub-blocks of 16 or 32 whose scales are themselves integers times one f16. Layouts: ggml's
// ggml-common.h; the order of f32 operations is the one of the gguf Python package, so that results are equal to its
// results bit for bit: first d * sub_scale, then times q, then minus (d_min * sub_min); products and sums unfused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tensor/dtype.h"

namespace occ {

// Turns `blocks` consecutive blocks (any alignment) into blocks * block_elements floats.
using GgufDequantize = void (*)(const uint8_t* in, size_t blocks, float* out);

struct GgufType {
  uint32_t id = 0;  // ggml_type in the file
  std::string_view name;
  uint32_t block_elements = 0;  // 0: a type that is known by name but cannot be read
  uint32_t block_bytes = 0;
  DType dtype = DType::kF32;  // element type; kF32 for types that are quantized in blocks
  GgufDequantize dequantize = nullptr;

  bool supported() const { return dequantize != nullptr; }
  bool quantized() const { return block_elements > 1; }
};

// The largest block_elements of all types.
inline constexpr size_t kGgufMaxBlockElements = 256;

// Null for an id that no version of ggml has defined.
const GgufType* find_gguf_type(uint32_t id);
// The type with exactly these elements; null if GGUF has none (unsigned integers, BOOL).
const GgufType* find_gguf_type(DType dtype);

}  // namespace occ
