// Rates of codes in bits.
#pragma once

#include <cstdint>
#include <span>

namespace occ {

// The empirical entropy of a histogram in bits per symbol, -sum p log2 p. It is 0 for an empty histogram.
double entropy_bits(std::span<const uint64_t> histogram);

// Bits per weight of `elements` values that take `bytes` bytes together. It is 0 if there are no elements.
constexpr double bits_per_weight(uint64_t bytes, uint64_t elements) {
  return elements == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(elements);
}

// Returns the most bytes that `elements` values may take at `bpw` bits per weight.
constexpr uint64_t bytes_at(double bpw, uint64_t elements) {
  return static_cast<uint64_t>(bpw * static_cast<double>(elements) / 8.0);
}

}  // namespace occ
