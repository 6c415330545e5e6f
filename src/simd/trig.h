// Sines and cosines of rational multiples of pi that are the same doubles on every machine. The angle is reduced to [0,
// pi / 4] exactly in integers; then a Taylor polynomial follows, with + - * and one division in a fixed order and no
// math library. The absolute error is about 2e-16. Meant for tables: one value takes about 20 ns.
#pragma once

#include <cstdint>

namespace occ {

// cos(pi * a / b) and sin(pi * a / b), 0 < b < 2^32, a < 2^62.
double cos_pi(uint64_t a, uint64_t b);
double sin_pi(uint64_t a, uint64_t b);

}  // namespace occ
