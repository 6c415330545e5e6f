// What the decoders of quantized weights share: codes out of packed words, and codes times scales.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/quantized.h"
#include "occ/matrix.h"
#include "tensor/small_floats.h"

namespace occ {

using CodeValues = std::array<float, 256>;  // the value of every code

CodeValues unsigned_values();
CodeValues signed_values();              // of bytes
CodeValues offset_values(float offset);  // code - offset

// Scales and zero points of a weight [rows, cols] in groups of columns: value = (code - zero) scale.
struct GroupScales {
  size_t rows = 0, groups = 0;
  size_t group_size = 1;           // columns of a group; the last group may have fewer
  size_t codes = 256;              // all codes are below this
  std::vector<float> scale;        // [rows, groups]
  std::vector<float> zero;         // [rows, groups]; empty: 0
  std::vector<uint32_t> group_of;  // [cols] with act-order; empty: column / group_size
};

// out [cols] = (values[codes] - zero) scale with the scales of row `row`, rounded to `dtype`.
void scale_row(const GroupScales& scales, size_t row, const uint8_t* codes, size_t cols, const CodeValues& values,
               DType dtype, float* out);

// Rounds to F16 or BF16; other types change nothing.
void round_to(DType dtype, float* values, size_t count);

// Code i of a dense stream of codes of `bits` <= 8 bits in 32-bit words, whose words stand `stride` apart.
uint32_t packed_code(const uint8_t* words, size_t stride, size_t i, unsigned bits);
// The codes first .. first + count of such a stream with stride 1.
void unpack_codes(const uint8_t* words, unsigned bits, size_t count, uint8_t* codes);
// Two codes of 4 bits in a byte, the low half first.
void unpack_halves(const uint8_t* bytes, size_t count, uint8_t* codes);

// "blocks.0.linear." of "blocks.0.linear.qweight", or nothing if the name does not end so.
std::optional<std::string> without_ending(const std::string& name, std::string_view ending);

// The matrix [rows, cols] of a shape: all dimensions but the last are rows.
Shape rows_of(const std::vector<uint64_t>& shape);

// [rows, cols] to [cols, rows].
std::vector<float> transposed_floats(const std::vector<float>& values, size_t rows, size_t cols);

}  // namespace occ
