// strip_dots with the byte dot products of AVX-512 (VNNI), for CPUs where use_vnni() says so (simd/simd.h).
#pragma once

#include "operators/strip.h"

namespace occ {

void strip_dots_vnni(const Strip& strip, const StripInput* inputs, size_t count);

}  // namespace occ
