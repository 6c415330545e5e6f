// The trellis codes of `trellis`: Ungerboeck's one-dimensional codes in systematic feedback form (Ungerboeck 1982,
// table I), with parity polynomials h0, h1. From state s a branch with bit b leads to
//   next(s, b) = s / 2  XOR  (s odd: h0 / 2)  XOR  (b = 1: h1 / 2).
// u = s mod 2 is the union that the next value k is taken from (even or odd integers): k = 2 j + u, b = j mod 2. So the
// decoder needs the integers j alone. Since h0 has its top bit at the number of states and h1 has not, u is the top bit
// of the next state, and a state n has the two predecessors (b = 0, 1)
//   s = 2 (n XOR (u: h0 / 2) XOR (b: h1 / 2)) + u,   u = n / (states / 2).
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

// states: 4, 8, 16, 32, 64, 128 or 256.
TrellisCode trellis_code(uint32_t states);

// Symbols of the plane are j + kTrellisBias: j from -32768 to 32767, and the lowest bit of the symbol is b.
constexpr uint32_t kTrellisBias = 32768;
constexpr uint32_t kTrellisAlphabet = 65536;
std::shared_ptr<const FiniteState> trellis_machine(const TrellisCode& code);

}  // namespace occ
