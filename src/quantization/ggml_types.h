// The block types of GGUF files that can be written: their levels, their scales, and the bytes of a block.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace occ {

struct GgmlType {
  std::string_view name;
  unsigned bits = 4;            // of a code
  size_t sub = 32, super = 32;  // columns of a sub-block and of a super-block
  bool offsets = false;         // whether values have an offset
  // Range of the integers of sub-blocks; {0, 0}: a sub-block is a super-block and has no integer.
  int least_scale = 0, most_scale = 0;
  int zero = 0;        // the code of level 0, for levels q - zero
  bool table = false;  // the levels are kIq4Levels
  size_t bytes = 0;    // of a super-block

  bool has_integers() const { return most_scale != 0; }
  uint32_t alphabet() const { return uint32_t{1} << bits; }
};

std::span<const GgmlType> ggml_types();
const GgmlType& ggml_type(std::string_view name);  // the name must be one of the table

// A super-block: its f16 numbers, the integers of its sub-blocks, and its codes.
struct GgmlBlock {
  uint16_t scale = 0, offset = 0;  // f16; the value of a type without integers is level * scale - (-offset)
  std::span<const int8_t> scales{}, offsets{};
  std::span<const uint16_t> codes{};
};
// Writes the bytes of a super-block.
void pack_ggml_block(const GgmlType& type, const GgmlBlock& block, uint8_t* out);

}  // namespace occ
