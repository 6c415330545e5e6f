// Random numbers from a seed that are the same on every platform. Each number is a hash of the seed and a counter; the
// distributions of <random> are not used, because they differ between platforms.
#pragma once

#include <cstdint>

namespace occ {

// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): a bijection of 64-bit words in which every input bit
// affects every output bit.
constexpr uint64_t mix64(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// The i-th 64-bit word of the random stream of `seed`. Any word can be computed directly, so any thread can compute any
// part of the stream.
constexpr uint64_t random_word(uint64_t seed, uint64_t i) {
  return mix64(mix64(seed + 0x9e3779b97f4a7c15ULL) + (i + 1) * 0x9e3779b97f4a7c15ULL);
}

class Rng {
 public:
  explicit Rng(uint64_t seed) : seed_(seed) {}
  uint64_t next() { return random_word(seed_, i_++); }
  // Uniform in [0, n) for n > 0, computed as the high half of a 128-bit product. The bias is below n / 2^64.
  uint64_t below(uint64_t n) { return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * n) >> 64); }
  // Uniform in [0, 1), with 53 random bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  // A standard normal value (Marsaglia's polar method). It uses functions of libm, whose results may differ between
  // platforms, so it is for tests, experiments and encoders, never for decoding.
  double normal();

 private:
  uint64_t seed_;
  uint64_t i_ = 0;
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace occ
