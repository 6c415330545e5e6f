// Codebooks of directions for `polar`. They are the same for every tensor, so that no archive stores them, and are
// computed in integers only, so that they are the same on every machine (docs/reference/format.md, section 7, has the
// exact rules).
//
//   e8-greedy  for dimension 8: farthest-point selection among the 337,920 directions of the points of the lattice E8
//              with squared norm <= 16. Each new direction has the largest angle to all chosen before, the first of
//              them in case of ties (PCDVQ, arXiv 2506.05432, section 3.2).
//   random     directions of vectors of independent binomial coordinates, which are nearly uniform
//   kmeans     spherical k-means of such vectors, weighted by their squared length as errors are
//
// 2^14 greedy directions take about a second, 2^16 a few seconds. They and the directions of k-means are kept in the
// user's cache folder ($XDG_CACHE_HOME/occ or ~/.cache/occ). If the cache is missing, damaged or not writable, they are
// computed again.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "occ/matrix.h"

namespace occ {

enum class DirectionSource : uint8_t { kE8Greedy, kRandom, kKmeans };

// Computes the integer vectors [2^bits, dim] whose directions are the codebook.
std::vector<int16_t> generate_directions(DirectionSource source, size_t dim, unsigned bits);
// Does the same, but takes the directions from the cache if they are there.
std::vector<int16_t> cached_directions(DirectionSource source, size_t dim, unsigned bits);
// Returns the directions [n, dim] of integer vectors p as vectors of length one: p_i * (1 / sqrt(|p|^2)), computed in
// f64 and rounded to f32.
Matrix<float> unit_directions(const std::vector<int16_t>& points, size_t dim);

// Returns the candidates of e8-greedy [337,920, 8]: all primitive vectors of E8 with squared norm <= 16. Coordinates
// are doubled. They are sorted by norm and then lexicographically.
std::vector<int16_t> e8_directions();

}  // namespace occ
