// Seeded random numbers that are the same on every platform: a counter-based hash, no libm, no <random> distributions.
#pragma once

#include <cstdint>

namespace occ {

// SplitMix64's finalizer (Steele, Lea, Flood 2014): a bijection of 64 bits with full avalanche.
constexpr uint64_t mix64(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// The i-th 64-bit word of the stream named by `seed`: random access, so that any part can be made by any thread.
constexpr uint64_t random_word(uint64_t seed, uint64_t i) {
  return mix64(mix64(seed + 0x9e3779b97f4a7c15ULL) + (i + 1) * 0x9e3779b97f4a7c15ULL);
}

class Rng {
 public:
  explicit Rng(uint64_t seed) : seed_(seed) {}
  uint64_t next() { return random_word(seed_, i_++); }
  // Uniform in [0, n), n > 0, by the high half of a 128-bit product (bias below n / 2^64).
  uint64_t below(uint64_t n) { return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * n) >> 64); }
  // Uniform in [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  // Standard normal (Marsaglia's polar method). Uses libm: for tests, experiments and encoders, never for decoding.
  double normal();

 private:
  uint64_t seed_;
  uint64_t i_ = 0;
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace occ
