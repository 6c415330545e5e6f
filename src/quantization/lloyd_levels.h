// Places of levels: the Gaussian ones in closed form conditions, and the best ones for weighted points.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/bytes.h"

namespace occ {

// Ascending Lloyd-Max levels of N(0, 1), 2^bits of them, symmetric about 0. 1 <= bits <= 8.
std::vector<double> gaussian_levels(unsigned bits);

// Best `count` levels for cells with weight W and weighted sum M (ascending means): partition into runs that minimises
// sum over runs of -(sum M)^2 / (sum W). Exact by dynamic programming, O(count n log n) by divide and conquer on the
// monotone borders. Cells with less than 1e-12 of all weight are skipped; fewer cells than levels repeat the last one.
// None: zeros.
std::vector<double> best_levels(std::span<const double> weight, std::span<const double> sum, size_t count);

// Stored levels, f32. Input error unless they ascend (equal ones are fine) and are all from `least` to `most`.
void get_levels(std::span<float> levels, float least, float most, ByteReader& side);

}  // namespace occ
