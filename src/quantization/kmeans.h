// k-means clustering of weighted vectors (Lloyd 1957), for the codebooks of pq, opq and qet.
#pragma once

#include <cstdint>
#include <span>

#include "occ/matrix.h"

namespace occ {

struct KmeansOptions {
  size_t k = 256;
  size_t iterations = 20;  // largest number of iterations
  uint64_t seed = 0;       // seed of the random start
  // [d] cost of a squared error in each coordinate; empty: all are 1.
  std::span<const float> weights = {};
  MatrixView<const float> start = {};        // [k, d] centroids to start from; empty: k-means++
  std::span<const double> row_weights = {};  // [n] weight of each vector; empty: all are 1
};

// Returns the centroids [k, d] of the rows of x [n, d]. The magnitudes of x should not exceed 1e15. The start is
// k-means++ (Arthur & Vassilvitskii 2007) on a sample, or a random choice of vectors for more than 4,096 centroids. A
// cluster that becomes empty starts again at the vector with the largest error. If x has many rows, a sample of 256
// vectors per centroid, and at least 65,536 vectors, is used. If there are fewer distinct vectors than centroids, the
// first vector is repeated. Runs on one thread.
Matrix<float> kmeans(MatrixView<const float> x, const KmeansOptions& options);

}  // namespace occ
