// Seeded random matrices, for tests and benchmarks.
#pragma once

#include "base/rng.h"
#include "occ/matrix.h"

namespace occ {

// A matrix [rows, cols] of independent normal values with the given standard deviation and mean.
template <typename T = float>
Matrix<T> normal_matrix(size_t rows, size_t cols, uint64_t seed = 1, double deviation = 1, double mean = 0) {
  Matrix<T> m(rows, cols);
  Rng rng(seed);
  for (size_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<T>(mean + deviation * rng.normal());
  return m;
}

}  // namespace occ
