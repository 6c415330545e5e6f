// Rates in bits.
#pragma once

#include <cstdint>
#include <span>

namespace occ {

// Empirical entropy of a histogram in bits per symbol: -sum p log2 p. 0 when it is empty.
double entropy_bits(std::span<const uint64_t> histogram);

// Bits per weight: all bytes over the elements they stand for. 0 elements: 0.
constexpr double bits_per_weight(uint64_t bytes, uint64_t elements) {
  return elements == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(elements);
}

// The bytes that a ceiling of `bpw` bits per weight allows.
constexpr uint64_t bytes_at(double bpw, uint64_t elements) {
  return static_cast<uint64_t>(bpw * static_cast<double>(elements) / 8.0);
}

}  // namespace occ
