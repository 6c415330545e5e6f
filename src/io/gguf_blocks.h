// The tensor types of GGUF files: the sizes of their blocks, and the functions that turn a block into floats.
//
// A row of a tensor is a sequence of blocks; each holds block_elements values in block_bytes bytes. A value is
// scale * q, or scale * q - offset, where q is an integer or an entry of a fixed table. The super-blocks of the K types
// hold 256 values in sub-blocks of 16 or 32 values, and the scale of a sub-block is an integer times one f16 of the
// super-block. The layouts are those of ggml's ggml-common.h. The f32 operations have the same order as in the gguf
// Python package, so that the results are equal bit for bit: first d * sub_scale, then times q, then minus
// (d_min * sub_min), with no fused multiply-add.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"

namespace occ {

// Turns `blocks` consecutive blocks into blocks * block_elements floats. `in` may have any alignment.
using GgufDequantize = void (*)(const uint8_t* in, size_t blocks, float* out);

struct GgufType {
  uint32_t id = 0;  // the number of the type in the file (enum ggml_type)
  std::string_view name;
  uint32_t block_elements = 0;  // 1 for types without blocks; 0 for a type whose name is known but cannot be read
  uint32_t block_bytes = 0;
  DType dtype = DType::kF32;  // type of the elements as they are read; kF32 for types that are quantized in blocks
  GgufDequantize dequantize = nullptr;
  // Where the fields of two bytes stand in a block, which are swapped in big-endian files; nothing: not known.
  std::optional<std::vector<uint32_t>> halves = {};

  bool supported() const { return dequantize != nullptr; }
  bool quantized() const { return block_elements > 1; }
};

// The 16 levels of IQ4_NL and IQ4_XS.
inline constexpr std::array<float, 16> kIq4Levels = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                     1,    13,   25,  38,  53,  69,  89,  113};

// The largest block_elements of all types.
inline constexpr size_t kGgufMaxBlockElements = 256;

// The type with this number, or null if the number is above those that are known here.
const GgufType* find_gguf_type(uint32_t id);
// The type with this name ("Q4_K"), or null.
const GgufType* find_gguf_type(std::string_view name);
// The type that stores elements of this type unchanged, or null if GGUF has none (unsigned integers, BOOL).
const GgufType* find_gguf_type(DType dtype);

}  // namespace occ
