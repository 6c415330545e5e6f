// How well rows keep their angles, for embeddings and whatever else is compared by cosines. Rows x_i of a reference
// and x'_i of its reconstruction, u_i = x_i / |x_i|:
//   mean, p1         mean and 1st percentile of <u_i, u'_i> (both rows zero: 1, one of them: 0)
//   pair_rmse        root of the mean of (<u_i, u_j> - <u'_i, u'_j>)^2 over 65,536 random pairs i != j
//   product_slope    sum <x_i, x_j> <x_i, x'_j> / sum <x_i, x_j>^2 over the same pairs: 1 if products of exact vectors
//                    with decoded ones are unbiased
//   recall           of the 10 rows of largest cosine to row i (all of them where there are fewer than 11 rows; ties:
//                    the first), the part that is among those of x'_i in the reconstruction; mean over up to 1,000
//                    random rows i, with its standard error
// Sums in double in a fixed order; products of the recall in f32 in a fixed order: the same figures on every CPU. Cost
// of the recall: 2 min(rows, 1000) rows cols multiply-adds. Both matrices are held twice.
#pragma once

#include <cstdint>
#include <vector>

#include "occ/matrix.h"

namespace occ {

struct CosineFigures {
  static constexpr size_t kNeighbours = 10;

  std::vector<float> cosines;  // of all rows, in rising order
  double pairs = 0, pair_squares = 0;
  double product = 0, product_square = 0;  // of product_slope
  double queries = 0, hits = 0, hits_square = 0;

  double mean() const;
  double percentile(double p) const;  // p from 0 to 100: the smallest cosine with at least p % up to it
  double pair_rmse() const;
  double product_slope() const;
  double recall() const;
  double recall_stderr() const;
  // All pairs, rows and queries of both.
  void merge(const CosineFigures& o);
};

// Uses parallel_for; figures do not depend on threads.
CosineFigures measure_cosines(MatrixView<const float> reference, MatrixView<const float> reconstruction,
                              uint64_t seed = 1);

}  // namespace occ
