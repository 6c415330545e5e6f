// The factors of the columns in the quantizer `trellis`: a common base, and for each column a code in sixteenths of an
// octave.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"

namespace occ {

constexpr int kUnitColumnCode = 128;  // code of a column whose factor is the base

// Returns the factor of a column with this code: base 2^((code - 128) / 16).
float column_factor(float base, uint8_t code);

// Returns codes near kUnitColumnCode + 16 octaves[c]. They are multiples of a spacing that depends on the number of
// rows, and give factors from `least` to about 2^110.
std::vector<uint8_t> choose_column_codes(std::span<const double> octaves, size_t rows, float base, double least);

// Write the codes (there may be none) to the side information and read them again (docs/reference/format.md,
// `trellis`).
void save_column_codes(std::span<const uint8_t> codes, size_t rows, ByteWriter& out);
std::vector<uint8_t> load_column_codes(size_t cols, ByteReader& side);

constexpr float kLargestColumnFactor = 0x1p110f;  // limit at which k * factor is still finite

}  // namespace occ
