// SIMD kernels of `trellis`. A segment is one column of one tile: n values x in units of its step, coded by one path
// through the trellis from state 0 to any state.
//
//   branch costs   cost(t, m) = (x_t - k)^2 + lambda bits(k) for m = u + 2 b = 0 to 3, where k is the integer with
//                  k mod 4 = m among the four consecutive integers around shrink * x_t. x_t is shrunk because smaller
//                  integers take fewer bits.
//   Viterbi        finds the path with the least sum of costs; if branches are equal it takes b = 0, and among equal
//                  last states the lowest
//
// Every operation is elementwise and in a fixed order, so that all SIMD targets choose the same path. Cost per value
// and segment: one unaligned load of four entries, 2 * states additions, states comparisons and one stored bit per
// state.
#pragma once

#include <cstddef>
#include <cstdint>

#include "occ/matrix.h"
#include "quantization/trellis_code.h"

namespace occ {

// bits(k) = table[offset + k] for |k| <= kTrellisReach, and constant for larger |k|. The offset can differ between
// values.
constexpr int32_t kTrellisReach = 1023;
constexpr size_t kTrellisTable = 2 * kTrellisReach + 2;  // number of entries of a table

// The branches of n values: the smallest of the four integers, k0; x - k0; and the index of bits(k0) in the table. |x|
// is limited to what symbols can represent.
struct TrellisBranches {
  float* error;
  int32_t* entry;
  int32_t* k0;
};
void trellis_branches(const float* x, size_t n, float shrink, const int32_t* offsets, const TrellisBranches& out);

// Finds the paths of `count` <= kTrellisAtOnce segments of the same length n. k [n] receives the chosen integers 2 j +
// u. `decisions` has room for trellis_decision_bytes(states, n) bytes.
struct TrellisSegment {
  TrellisBranches branches;
  uint8_t* decisions;
  float* k;
};
constexpr size_t kTrellisAtOnce = 4;
size_t trellis_decision_bytes(uint32_t states, size_t n);
void trellis_viterbi(const TrellisCode& code, size_t n, const float* table, float lambda,
                     const TrellisSegment* segments, size_t count);

// Decodes rows of one tile, from its first row on: replaces the symbols j + kTrellisBias [rows, cols] by k *
// factors[column].
void trellis_dequantize(const TrellisCode& code, MatrixView<const Symbol> symbols, const float* factors,
                        MatrixView<float> out);
// Does the same, but returns only the integers k.
void trellis_integers(const TrellisCode& code, MatrixView<const Symbol> symbols, MatrixView<int32_t> out);

}  // namespace occ
