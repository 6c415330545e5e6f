// The nearest of k centroids, for panels of 16 vectors (simd/panel.h):
//
//   argmin_j  sum_i w_i (x_i - c_ji)^2 = argmin_j  |c_j|_w^2 / 2 - sum_i (w_i c_ji) x_i
//
// the same products as a matrix product of vectors and centroids, with the minimum taken in registers instead of from a
// matrix in memory. Multiply and add unfused, in the order of i, ties to the smallest j: the same on every SIMD target
// and for any cut into panels, which a BLAS is not. Cost: 2 d + 3 vector operations per 8 or 16 vectors and centroid.
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
  // centroids [k, d]; weights [d], or empty: ones.
  CentroidSearch(MatrixView<const float> centroids, std::span<const float> weights);

  // panel [d * 16]. values[v] = least |c_j|_w^2 / 2 - <c_j, x>_w; plus |x|_w^2 / 2 that is half the squared distance.
  void nearest(const float* panel, uint32_t index[16], float values[16]) const;

 private:
  size_t k_ = 0, d_ = 0;
  std::vector<float> rows_;  // [k][d + 1]: w c, then |c|_w^2 / 2
};

}  // namespace occ
