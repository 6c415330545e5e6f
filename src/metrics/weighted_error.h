// Errors as the outputs of an operator y = W x feel them. H = E[x x^T] are the second moments of its inputs, [cols, cols]
// in the square of their unit, so that of the outputs of a matrix X the mean energy is E |X x|^2 = tr(X H X^T).
// Needs BLAS: linked into occ_encode, not into occ_core.
#pragma once

#include "occ/matrix.h"

namespace occ {

// tr(x h x^T), products in the type of the matrices, their sum in double. Cost: rows cols^2 multiply-adds and a copy of
// x. May be slightly below zero by rounding.
double weighted_energy(MatrixView<const float> x, MatrixView<const float> h);
double weighted_energy(MatrixView<const double> x, MatrixView<const double> h);

// The error tr(E H E^T) relative to the outputs that white weights with `energy` = |W|^2 would have: divided by
// energy * tr(H) / cols. nmse if H is an identity; 0 if there are no such outputs.
double relative_to_white(double error, double energy, MatrixView<const double> h);

// The error relative to the outputs that there are, tr(W H W^T), over several panels of rows.
struct WeightedDistortion {
  double error = 0, energy = 0;

  void add(MatrixView<const float> reference, MatrixView<const float> reconstruction, MatrixView<const double> h);
  void merge(const WeightedDistortion& o) { error += o.error, energy += o.energy; }
  double nmse() const { return error == 0 ? 0 : error / energy; }
};

}  // namespace occ
