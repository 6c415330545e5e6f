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

// Norm of every row of x [rows, n]: RMS norm out = x / sqrt(mean(x^2) + eps) * weight (+ bias), or layer norm
// out = (x - mean) / sqrt(variance + eps) * weight + bias, as the configuration says. out may be x.
void normalize(const ModelConfig& config, const NormWeights& norm, MatrixView<const float> x, MatrixView<float> out);

// Outputs y [rows, n] of a linear layer, and its bias [n] (or null), which has not been added to them yet.
struct Addend {
  MatrixView<const float> y;
  const float* bias = nullptr;
};
// Adds all addends with their biases to x, then out = normalize(x). out may be x, or empty, which means no norm.
void add_and_normalize(const ModelConfig& config, std::span<const Addend> addends, const NormWeights& norm,
                       MatrixView<float> x, MatrixView<float> out);

// gated: x [n, 2m] holds [gate | up], and x[:, :m] becomes activation(gate + bias[:m]) * (up + bias[m:]). Otherwise x
// becomes activation(x + bias). bias may be null.
void activate(Activation activation, bool gated, const float* bias, MatrixView<float> x);

// Single rows and heads. `n` is the number of elements.
void add_to(const float* y, float* x, size_t n);  // x += y
void rms_norm_head(const float* weight, float eps, float* x, size_t n);
// Rotates the first 2 * pairs elements of a head. table [2 * pairs]: cosines and sines of the position
// (Rope::table_row).
void rotate_head(RopePairs order, const float* table, size_t pairs, float* x);

}  // namespace occ
