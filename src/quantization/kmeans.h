// k-means clustering of weighted vectors (Lloyd 1957), for the codebooks of pq, opq and qet.
#pragma once

#include <cstdint>
#include <span>

#include "occ/matrix.h"

namespace occ {

struct KmeansOptions {
  size_t k = 256;
  size_t iterations = 20;                    // at most
  uint64_t seed = 0;                         // of the random start
  std::span<const float> weights = {};       // [d] the cost of a squared error in each coordinate; empty: ones
  MatrixView<const float> start = {};        // [k, d] the centroids to start from; empty: k-means++
  std::span<const double> row_weights = {};  // [n] the weight of each vector; empty: ones
};

// The centroids [k, d] of the rows of x [n, d], whose magnitudes should not exceed 1e15. The start is k-means++ (Arthur
// & Vassilvitskii 2007) on a sample, or a random choice of vectors for more than 4,096 centroids. A cluster that
// becomes empty starts again at the vector with the largest error. A sample of 256 vectors per centroid, and at least
// 65,536, is used if x has more. If there are fewer distinct vectors than centroids, the first of them is repeated.
// Runs on one thread.
Matrix<float> kmeans(MatrixView<const float> x, const KmeansOptions& options);

}  // namespace occ
