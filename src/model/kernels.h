// What a transformer computes between its matrix products: norms, residual additions, activation functions and rotary
// positions. Every row is computed with SIMD instructions, and the rows in a parallel loop unless they are too few for
// that. The result of a row does not depend on the others.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "model/config.h"
#include "model/weights.h"
#include "occ/matrix.h"

namespace occ {

// Calls body(first, count) for ranges of rows that cover [0, rows), in parallel if that is worth it. `cost` is the
// number of elements that a row reads and writes.
void for_row_panels(size_t rows, size_t cost, const std::function<void(size_t, size_t)>& body);

// Norm of every row of x [rows, n]. Without weights it is x itself. RMS norm out = x / sqrt(mean(x^2) + eps) * weight (+ bias), or layer norm
// out = (x - mean) / sqrt(variance + eps) * weight + bias, as the configuration says. out may be x.
void normalize(const ModelConfig& config, const NormWeights& norm, MatrixView<const float> x, MatrixView<float> out);

// What is added to the residual stream: scale * normalize(y + bias), where y [rows, n] are the outputs of a linear layer
// before its bias [n] (or null). y may be overwritten.
struct Addend {
  MatrixView<float> y;
  const float* bias = nullptr;
  const NormWeights* norm = nullptr;  // null: none
  float scale = 1;
};
// Adds all addends to x, then out = normalize(x). out may be x, or empty, which means no norm.
void add_and_normalize(const ModelConfig& config, std::span<const Addend> addends, const NormWeights& norm,
                       MatrixView<float> x, MatrixView<float> out);

// gated: x [n, 2m] holds [gate | up], and x[:, :m] becomes activation(gate + bias[:m]) * (up + bias[m:]). Otherwise x
// becomes activation(x + bias). bias may be null.
void activate(Activation activation, bool gated, const float* bias, MatrixView<float> x);

// x = cap tanh(scale x / cap), or with cap = 0 x = scale x.
void scale_and_cap(float scale, float cap, MatrixView<float> x);

// Single rows and heads. `n` is the number of elements.
void add_to(const float* y, float* x, size_t n);  // x += y
void scale_and_cap_row(float scale, float cap, float* x, size_t n);
void rms_norm_head(const float* weight, float eps, float* x, size_t n);
// Rotates the first 2 * pairs elements of a head. table [2 * pairs]: cosines and sines of the position
// (Rope::table_row).
void rotate_head(RopePairs order, const float* table, size_t pairs, float* x);

}  // namespace occ
