// Derivatives of the operations between the matrix products of a transformer, row by row.
//
//   norm        y = w xh + b, xh = (x - m) s:   dx = s (g - mean(g) - xh mean(g xh)), g = w dy
//                                               dw = sum dy xh, db = sum dy
//               (m: mean of x, s: 1 / its standard deviation; RMS norm: m = 0, and dx without mean(g))
//   softmax     p = softmax(scale s):           ds = scale p (dp - sum(p dp))
//   activation  y = a(g) u:                     dg = a'(g) u dy, du = a(g) dy
#pragma once

#include <cstddef>

#include "model/config.h"
#include "model/weights.h"
#include "occ/matrix.h"

namespace occ {

// x := softmax(scale x). Returns log(sum(exp(scale x))).
double softmax_row(float scale, float* x, size_t n);
// dp := scale p (dp - sum(p dp)), the gradient of the scores.
void softmax_backward_row(float scale, const float* p, float* dp, size_t n);

// dy, the gradient of y = cap tanh(scale x / cap), becomes that of x: dy scale (1 - (y / cap)^2). With cap = 0, y = scale x,
// and y may be null.
void cap_backward_row(float scale, float cap, const float* y, float* dy, size_t n);

// Computes the activation and the factors that its gradient needs.
// Gated: reads x [rows, 2m] = [g | u], to which the bias is not added yet; writes y [rows, m] = a(g) u and
// x = [a'(g) u | a(g)], with which dy is multiplied to get dg and du.
// Not gated: reads x [rows, m]; writes y = a(x) and x = a'(x).
void activate_with_derivative(Activation activation, bool gated, const float* bias, MatrixView<float> x,
                              MatrixView<float> y);

// Gradient of one row of a norm: adds the gradient of the input to dx, dy xh to dw and, unless db is null, dy to db.
void norm_backward_row(bool rms, float eps, const float* weight, const float* x, const float* dy, float* dx, float* dw,
                       float* db, size_t n);

}  // namespace occ
