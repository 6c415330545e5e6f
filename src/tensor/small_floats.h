// Floats of 4 and 8 bits in files: F8_E4M3, F8_E5M2 and F8_E8M0 (OCP Microscaling Formats v1.0, section 5), their
// variants FNUZ of AMD, and F4 (E2M1, two values in a byte, the low half first). Every value is exact in BF16 and F32.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace occ {

struct SmallFloat {
  std::string_view name;  // that of safetensors
  unsigned bits = 8;
  std::array<float, 256> values = {};  // of every code; types of 4 bits use the first 16
};

// The type with this name, or null.
const SmallFloat* find_small_float(std::string_view name);

// The types that other formats are made of: E2M1 of 4 bits, E4M3 and the scales E8M0 of 8 bits.
const SmallFloat& float_e2m1();
const SmallFloat& float_e4m3();
const SmallFloat& float_e8m0();

}  // namespace occ
