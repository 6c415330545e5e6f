// How well the rows of a matrix keep the angles between them, for embeddings and other vectors that are compared by
// cosines. With rows x_i of a reference, rows x'_i of its reconstruction, u_i = x_i / |x_i| and u'_i = x'_i / |x'_i|:
//   mean, percentile of the cosines <u_i, u'_i>, which are 1 if both rows are zero and 0 if only one of them is
//   pair_rmse        root of the mean of (<u_i, u_j> - <u'_i, u'_j>)^2 over 65,536 random pairs i != j
//   product_slope    sum <x_i, x_j> <x_i, x'_j> / sum <x_i, x_j>^2 over the same pairs; 1 if inner products of exact
//                    vectors with decoded ones are unbiased
//   recall           the share of the 10 nearest rows of x_i in the reference (those with the largest cosines) that are
//                    also among the 10 nearest rows of x'_i in the reconstruction. It is the mean over 1,000 random
//                    rows i, or all rows if there are fewer. Where fewer than 11 rows exist, all other rows count as
//                    nearest; of rows with equal cosines the first ones count.
// The figures are the same on every CPU: sums are in double and in a fixed order, the inner products of the recall are
// in f32 and in a fixed order. The recall takes 2 min(rows, 1000) rows cols multiply-adds. Memory: copies of both
// matrices.
#pragma once

#include <cstdint>
#include <vector>

#include "occ/matrix.h"

namespace occ {

struct CosineFigures {
  static constexpr size_t kNeighbours = 10;

  std::vector<float> cosines;  // of all rows, in ascending order
  double pairs = 0, pair_squares = 0;
  double product = 0, product_square = 0;  // the two sums of product_slope
  double queries = 0, hits = 0, hits_square = 0;

  double mean() const;
  double percentile(double p) const;  // p in 0 .. 100: the smallest cosine such that at least p % are not above it
  double pair_rmse() const;
  double product_slope() const;
  double recall() const;
  double recall_stderr() const;
  // Adds the rows, pairs and queries of `o`.
  void merge(const CosineFigures& o);
};

// Both matrices are [rows, cols]. Uses parallel_for; the figures do not depend on the number of threads.
CosineFigures measure_cosines(MatrixView<const float> reference, MatrixView<const float> reconstruction,
                              uint64_t seed = 1);

}  // namespace occ
