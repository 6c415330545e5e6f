// The loops of `trellis`. A segment is one column of one tile: n values x in units of its step, coded by one walk
// through the trellis from state 0 to any state.
//
//   branch costs   cost(t, m) = (x_t - k)^2 + lambda bits(k), m = u + 2 b = 0..3, for the one k = m mod 4 among the
//   four
//                  consecutive integers around shrink * x_t: what is nearest once its bits count
//   Viterbi        the walk with the least sum of costs; of equal ones the branch b = 0, at the end the lowest state
//
// Every operation is elementwise and in a fixed order, so all SIMD targets choose the same walk. Costs per value and
// segment: one unaligned load of four entries, 2 * states additions, states comparisons, one bit per state for the
// way back.
#pragma once

#include <cstddef>
#include <cstdint>

#include "occ/matrix.h"
#include "quantization/trellis_code.h"

namespace occ {

// bits(k) = table[offset + k] for |k| <= kTrellisReach, flat beyond; offset may differ from value to value.
constexpr int32_t kTrellisReach = 1023;
constexpr size_t kTrellisTable = 2 * kTrellisReach + 2;  // entries from one table to the next

// k0 [n]: the least of the four integers; error [n]: x - k0; entry [n]: of bits(k0) in the table. offsets [n]. |x|
// is limited to what j can reach.
struct TrellisBranches {
  float* error;
  int32_t* entry;
  int32_t* k0;
};
void trellis_branches(const float* x, size_t n, float shrink, const int32_t* offsets, const TrellisBranches& out);

// Walks through `count` segments of the same length at once. k [n]: the chosen integers
// 2 j + u. decisions: room for trellis_decision_bytes(states, n).
struct TrellisSegment {
  TrellisBranches branches;
  uint8_t* decisions;
  float* k;
};
constexpr size_t kTrellisAtOnce = 4;
size_t trellis_decision_bytes(uint32_t states, size_t n);
void trellis_viterbi(const TrellisCode& code, size_t n, const float* table, float lambda,
                     const TrellisSegment* segments, size_t count);

// Rows of one tile from its first on: symbols (j + bias) -> k * factor[column]. factors [cols].
void trellis_dequantize(const TrellisCode& code, MatrixView<const Symbol> symbols, const float* factors,
                        MatrixView<float> out);
// The integers k alone.
void trellis_integers(const TrellisCode& code, MatrixView<const Symbol> symbols, MatrixView<int32_t> out);

}  // namespace occ
