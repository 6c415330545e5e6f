// Levels of a scalar quantizer with the least mean squared error: for the normal distribution, and for weighted values.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/bytes.h"

namespace occ {

// Returns the 2^bits Lloyd-Max levels of N(0, 1), ascending and symmetric about 0; 1 <= bits <= 8 (Lloyd 1957, Max
// 1960).
std::vector<double> gaussian_levels(unsigned bits);

// Returns the best `count` levels for the n cells of a histogram, given the weight W and the weighted sum M of the
// values of each cell. The cells are in ascending order of their means M / W. The levels are the means of those runs of
// cells that minimise the sum over runs of -(sum M)^2 / (sum W). Dynamic programming finds them exactly in O(count n
// log n) steps (Wu 1991: the best borders are monotone, which permits divide and conquer). Cells with less than 1e-12
// of the whole weight are ignored. If fewer cells than levels remain, the last level is repeated; if none remain, all
// levels are 0.
std::vector<double> best_levels(std::span<const double> weight, std::span<const double> sum, size_t count);

// Reads levels.size() levels as f32. Input error unless they ascend (equal ones are allowed) and lie between `least`
// and `most`.
void get_levels(std::span<float> levels, float least, float most, ByteReader& side);

}  // namespace occ
