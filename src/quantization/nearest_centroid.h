// Finds the nearest of k centroids for panels of 16 vectors (simd/panel.h), by weighted squared distance:
//
//   argmin_j  sum_i w_i (x_i - c_ji)^2  =  argmin_j  |c_j|_w^2 / 2 - sum_i (w_i c_ji) x_i
//
// These are the products of the matrix of vectors with that of centroids, but the minimum is taken in registers.
// Products are added in the order of i without fused multiply-adds, and the smallest j wins ties, so that the result is
// the same on every SIMD target and for any division into panels; a BLAS does not guarantee that. Cost: 2 d + 3 vector
// operations for each centroid and 8 or 16 vectors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "occ/matrix.h"

namespace occ {

class CentroidSearch {
 public:
  CentroidSearch() = default;
  // centroids [k, d]. weights [d] are the costs of squared errors in each coordinate; empty: all are 1.
  CentroidSearch(MatrixView<const float> centroids, std::span<const float> weights);

  // For each of the 16 vectors x of a panel [d, 16]: index[v] is the number j of the nearest centroid, and values[v] =
  // |c_j|_w^2 / 2 - <c_j, x>_w, which is half of the squared distance minus |x|_w^2 / 2.
  void nearest(const float* panel, uint32_t index[16], float values[16]) const;

 private:
  size_t k_ = 0, d_ = 0;
  std::vector<float> rows_;  // [k][d + 1] w c_j, then |c_j|_w^2 / 2
};

}  // namespace occ
