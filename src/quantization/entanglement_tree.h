// The splits of an entanglement tree (quantum entanglement trees, qet.cc): pairs of neighbours into smaller and larger
// ones and a bit that tells their order, level by level.
//
//   x [2n] -> low_j = min(x_2j, x_2j+1), high_j = max(...), symbol j is 1 where the smaller one stood left (or both are
//   equal)
//
// The smaller ones of all pairs, then the larger ones, are two parts; the next level splits each of them in the same
// way. After l levels 2^l parts follow each other. Exact in both directions. Cost: a minimum and a maximum per pair.
#pragma once

#include <cstddef>

#include "tensor/symbols.h"

namespace occ {

// One level of one part; order: a symbol 0 or 1 per pair. Nothing overlaps.
void split_pairs(const float* x, size_t pairs, float* low, float* high, Symbol* order);
void merge_pairs(const float* low, const float* high, const Symbol* order, size_t pairs, float* x);

// All levels of a row of `count` values, count a multiple of 2^levels, in place. order: levels * count / 2 symbols 0 or
// 1, level by level, part by part. work: count floats.
void split_row(float* x, size_t count, unsigned levels, Symbol* order, float* work);
void merge_row(float* x, size_t count, unsigned levels, const Symbol* order, float* work);

}  // namespace occ
