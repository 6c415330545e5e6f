// k-means of weighted vectors: the codebooks of pq, opq and qet.
#pragma once

#include <cstdint>
#include <span>

#include "occ/matrix.h"

namespace occ {

struct KmeansOptions {
  size_t k = 256;
  size_t iterations = 20;                    // at most
  uint64_t seed = 0;                         // of the start
  std::span<const float> weights = {};       // [d] of the squared errors of coordinates; empty: ones
  MatrixView<const float> start = {};        // [k, d] to go on from; empty: k-means++
  std::span<const double> row_weights = {};  // [rows]; empty: ones
};

// Centroids [k, d] of the rows of x [n, d], whose elements should be of magnitude 1e15 or less. Start: k-means++
// (Arthur & Vassilvitskii 2007) on a sample, plain sampling beyond 4,096 centroids. A cluster that becomes empty starts
// again at the vector with the largest error. At most 256 vectors per centroid are looked at (65,536 at least). Where
// there are fewer distinct vectors than centroids the first of them is repeated. Runs on one thread.
Matrix<float> kmeans(MatrixView<const float> x, const KmeansOptions& options);

}  // namespace occ
