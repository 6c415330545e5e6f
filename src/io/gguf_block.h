// What the tables of block types share (gguf_blocks.cc, gguf_lattice_blocks.cc).
#pragma once

#include <vector>

#include "io/gguf_blocks.h"

namespace occ {

// The structures of blocks consist of bytes only, so that a block may lie at any address. Fields of several bytes are
// little-endian. In the comments, the low and the high half of a byte are its lower and its upper four bits, and a
// value is given by its index in the block.
struct Half {
  uint8_t bytes[2];
  uint16_t bits() const { return static_cast<uint16_t>(bytes[0] | (bytes[1] << 8)); }
  float value() const { return f16_to_f32(bits()); }
};

// `decode` of a block writes Block::kElements values.
template <typename Block>
void dequantize_gguf(const uint8_t* in, size_t blocks, float* out) {
  const auto* block = reinterpret_cast<const Block*>(in);  // arrays of bytes: any alignment
  static_assert(alignof(Block) == 1);
  for (size_t i = 0; i < blocks; ++i) decode(block[i], out + i * Block::kElements);
}

// big_endian: where the fields of two bytes stand, which have the other order in a big-endian file.
template <typename Block>
GgufType gguf_block_type(uint32_t id, std::string_view name, std::optional<std::vector<uint32_t>> big_endian = {}) {
  static_assert(Block::kElements <= kGgufMaxBlockElements);
  return {id, name, Block::kElements, sizeof(Block), DType::kF32, dequantize_gguf<Block>, std::move(big_endian)};
}

// IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S, TQ1_0, TQ2_0, MXFP4, NVFP4, Q8_K, Q1_0 and Q2_0.
std::vector<GgufType> gguf_lattice_types();

}  // namespace occ
