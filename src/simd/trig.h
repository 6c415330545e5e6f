// Sines and cosines of rational multiples of pi, the same doubles on every machine: integers reduce the angle to
// [0, pi / 4] exactly, then a Taylor polynomial with + - * and one division in fixed order; no libm. Absolute error
// below 2e-16 or so. For tables: about 20 ns each.
#pragma once

#include <cstdint>

namespace occ {

// cos(pi * a / b) and sin(pi * a / b), 0 < b < 2^32, a < 2^62.
double cos_pi(uint64_t a, uint64_t b);
double sin_pi(uint64_t a, uint64_t b);

}  // namespace occ
