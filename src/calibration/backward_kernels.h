// Derivatives of the operations between the matrix products of a transformer, row by row.
//
//   norm        y = w xh + b, xh = (x - m) s:   dx = s (g - mean(g) - xh mean(g xh)), g = w dy
//                                               dw = sum dy xh, db = sum dy
//               RMS norm: m = 0, and dx without mean(g)
//   softmax     p = softmax(scale s):           ds = scale p (dp - sum(p dp))
//   activation  y = a(g) u:                     dg = a'(g) u dy, du = a(g) dy
#pragma once

#include <cstddef>

#include "model/config.h"
#include "model/weights.h"
#include "occ/matrix.h"

namespace occ {

// x := softmax(scale x); returns log sum exp(scale x).
double softmax_row(float scale, float* x, size_t n);
// dp := scale p (dp - sum(p dp)).
void softmax_backward_row(float scale, const float* p, float* dp, size_t n);

// gated: x [rows, 2m] = [g | u], bias not yet added -> y [rows, m] = a(g) u and x = [a'(g) u | a(g)], which are the
// factors of dy in dg and du. Not gated: x [rows, m] -> y = a(x), x = a'(x).
void activate_with_derivative(Activation activation, bool gated, const float* bias, MatrixView<float> x,
                              MatrixView<float> y);

// For one row: dx += the gradient of x; dw += dy xh and, if it is not null, db += dy.
void norm_backward_row(bool rms, float eps, const float* weight, const float* x, const float* dy, float* dx, float* dw,
                       float* db, size_t n);

}  // namespace occ
