// The levels of an entanglement tree ("Quantum Entanglement Trees", see qet.cc). One level sorts each pair of
// neighbours and keeps their order in one bit:
//
//   x [2n] -> low_j = min(x_2j, x_2j+1),  high_j = max(x_2j, x_2j+1),  order_j = 1 if x_2j <= x_2j+1, otherwise 0
//
// All low_j and then all high_j are the two parts of the result. The next level splits each part in the same way, so
// that 2^l parts follow each other after l levels. Both directions are exact. Cost: one minimum and one maximum per
// pair and level.
#pragma once

#include <cstddef>

#include "tensor/symbols.h"

namespace occ {

// Splits one level of one part: x [2 pairs] into low, high and order [pairs]. merge_pairs is the inverse. The arrays
// must not overlap.
void split_pairs(const float* x, size_t pairs, float* low, float* high, Symbol* order);
void merge_pairs(const float* low, const float* high, const Symbol* order, size_t pairs, float* x);

// Splits x [count] in place, on all levels; count is a multiple of 2^levels. order [levels * count / 2] receives the
// bits of the first level, then those of all parts of the second level, and so on. merge_row is the inverse. work has
// room for `count` floats.
void split_row(float* x, size_t count, unsigned levels, Symbol* order, float* work);
void merge_row(float* x, size_t count, unsigned levels, const Symbol* order, float* work);

}  // namespace occ
