// f16 <-> f32 in bulk; pointers may have any alignment. Bit for bit the scalar forms of tensor/dtype.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace occ {

void f16_to_f32_bulk(const void* half, float* out, size_t count);
void f32_to_f16_bulk(const float* in, void* half, size_t count);  // to nearest even; NaN becomes 0x7e00 with its sign

}  // namespace occ
