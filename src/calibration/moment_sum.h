// Sums of outer products of inputs: second moments H = E[x x^T] and cross moments C = E[x y^T].
#pragma once

#include "occ/matrix.h"

namespace occ {

// sum [n, n] += x^T y for x, y [tokens, n]: products in f32 over panels of tokens, sums of panels in f64. Where x and y
// are the same rows in memory: the lower triangle (by tiles) only.
void add_moment(MatrixView<const float> x, MatrixView<const float> y, MatrixView<double> sum);

// sum *= scale; `symmetric`: the upper triangle becomes that of the lower one.
void finish_moment(double scale, bool symmetric, MatrixView<double> sum);

}  // namespace occ
