// Codebooks of directions, the same for every tensor, so that no archive stores them: generated in integers alone and
// therefore the same everywhere (docs/reference/format.md, section 7, has the exact rules).
//
//   e8-greedy  dimension 8: farthest-point selection (the largest angle to what was chosen before; ties: the first)
//              among the 337,920 directions of the points of E8 with squared norm <= 16; PCDVQ, arXiv 2506.05432, 3.2
//   random     directions of independent binomial coordinates, nearly uniform
//   kmeans     spherical k-means of such directions, weighted by their squared length as errors are
//
// 2^14 greedy directions take about a second and 2^16 a few; they and k-means are cached in the user's cache folder
// ($XDG_CACHE_HOME/occ or ~/.cache/occ). A cache that is missing, damaged or not writable only costs that time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "occ/matrix.h"

namespace occ {

enum class DirectionSource : uint8_t { kE8Greedy, kRandom, kKmeans };

// Integer vectors [2^bits, dim]; their directions are the codebook.
std::vector<int16_t> generate_directions(DirectionSource source, size_t dim, unsigned bits);
// From the cache, or generated and cached.
std::vector<int16_t> cached_directions(DirectionSource source, size_t dim, unsigned bits);
// Of length one: f32(p_i * (1 / sqrt(|p|^2))) in doubles.
Matrix<float> unit_directions(const std::vector<int16_t>& points, size_t dim);

// All primitive vectors of E8 of squared norm <= 16, coordinates doubled [337,920, 8], by norm, then lexicographically.
std::vector<int16_t> e8_directions();

}  // namespace occ
