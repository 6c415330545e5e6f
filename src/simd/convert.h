// Conversions between f16 and f32 for many values at once, bit for bit as in tensor/dtype.h. Pointers may have any
// alignment.
#pragma once

#include <cstddef>
#include <cstdint>

namespace occ {

void f16_to_f32_bulk(const void* half, float* out, size_t count);
// Rounds to nearest even; NaN becomes 0x7e00 with its sign.
void f32_to_f16_bulk(const float* in, void* half, size_t count);

}  // namespace occ
