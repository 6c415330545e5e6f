// The trellis codes of `trellis`: Ungerboeck's one-dimensional codes in systematic feedback form (Ungerboeck 1982,
// table I), with the parity polynomials h0 and h1. From state s a branch with bit b leads to
//   next(s, b) = s / 2  XOR  (h0 / 2 if s is odd)  XOR  (h1 / 2 if b = 1).
// u = s mod 2 tells whether the next value k is taken from the even or the odd integers (a union of two subsets in the
// terms of the literature): k = 2 j + u and b = j mod 2. The decoder therefore needs only the integers j. The top bit
// of h0 is at the number of states and h1 has no such bit, so u is the top bit of the next state, and a state n has the
// two predecessors (for b = 0 and b = 1)
//   s = 2 (n XOR (h0 / 2 if u = 1) XOR (h1 / 2 if b = 1)) + u,   u = n / (states / 2).
#pragma once

#include <cstdint>
#include <memory>

#include "tensor/symbols.h"

namespace occ {

struct TrellisCode {
  uint32_t states = 8;
  uint32_t h0 = 013, h1 = 04;  // octal, as in the literature

  uint32_t next(uint32_t s, uint32_t b) const { return (s >> 1) ^ ((s & 1) * (h0 >> 1)) ^ (b * (h1 >> 1)); }
  uint32_t previous(uint32_t n, uint32_t b) const {
    const uint32_t u = n >= states / 2 ? 1 : 0;
    return 2 * (n ^ (u * (h0 >> 1)) ^ (b * (h1 >> 1))) + u;
  }
};

inline constexpr TrellisCode kTrellisCodes[] = {{4, 05, 02},     {8, 013, 04},      {16, 023, 04},    {32, 045, 010},
                                                {64, 0103, 024}, {128, 0235, 0126}, {256, 0515, 0362}};
// The code with 4, 8, 16, 32, 64, 128 or 256 states.
TrellisCode trellis_code(uint32_t states);

// The symbols of the plane are j + kTrellisBias with j from -32,768 to 32,767; the lowest bit of a symbol is b.
constexpr uint32_t kTrellisBias = 32768;
constexpr uint32_t kTrellisAlphabet = 65536;
// The state machine of the code for the entropy coder: its contexts are u.
std::shared_ptr<const FiniteState> trellis_machine(const TrellisCode& code);

}  // namespace occ
