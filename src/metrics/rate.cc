#include "metrics/rate.h"

#include <cmath>

namespace occ {

double entropy_bits(std::span<const uint64_t> histogram) {
  double total = 0, weighted = 0;
  for (const uint64_t count : histogram) {
    if (count == 0) continue;
    const double n = static_cast<double>(count);
    total += n;
    weighted += n * std::log2(n);
  }
  return total == 0 ? 0 : std::log2(total) - weighted / total;
}

}  // namespace occ
