// The effect that errors of a weight matrix W [rows, cols] have on the outputs of y = W x. H = E[x x^T] [cols, cols]
// are the second moments of the inputs, in the squared unit of the inputs. The outputs of a matrix X then have the mean
// energy E |X x|^2 = tr(X H X^T). This code needs BLAS: it is part of the library occ_encode, not of occ_core.
#pragma once

#include "occ/matrix.h"

namespace occ {

// Returns tr(x h x^T) for x [rows, cols] and h [cols, cols]. The products are in the type of the matrices, their sum is
// in double; rounding can make it slightly negative. It takes rows cols^2 multiply-adds and a copy of x.
double weighted_energy(MatrixView<const float> x, MatrixView<const float> h);
double weighted_energy(MatrixView<const double> x, MatrixView<const double> h);

// Returns error / (energy * tr(H) / cols) for an error tr(E H E^T) and energy = |W|^2. The divisor is the mean energy
// of the outputs of independent random weights (white weights) with the same energy. The result is the nmse if H is the
// identity, and 0 if the divisor is 0.
double relative_to_white(double error, double energy, MatrixView<const double> h);

// Collects the error tr(E H E^T) and the energy tr(W H W^T) of the real outputs over several panels of rows. nmse() is
// their quotient.
struct WeightedDistortion {
  double error = 0, energy = 0;

  void add(MatrixView<const float> reference, MatrixView<const float> reconstruction, MatrixView<const double> h);
  void merge(const WeightedDistortion& o) { error += o.error, energy += o.energy; }
  double nmse() const { return error == 0 ? 0 : error / energy; }
};

}  // namespace occ
