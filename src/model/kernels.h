// What stands between the matrix products of a transformer, row by row with SIMD: norms, residuals, activations, rotary
// positions. All rows in one parallel loop, or without one where they are too few to be worth it. The result of a row
// does not depend on the others.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "model/config.h"
#include "model/weights.h"
#include "occ/matrix.h"

namespace occ {

// body(first, count) for panels of rows that cover [0, rows); `cost`: elements touched per row.
void for_row_panels(size_t rows, size_t cost, const std::function<void(size_t, size_t)>& body);

// out = x / sqrt(mean x^2 + eps) * weight, or (x - mean) / sqrt(variance + eps) * weight + bias. out may be x.
void normalize(const ModelConfig& config, const NormWeights& norm, MatrixView<const float> x, MatrixView<float> out);

// Outputs of a linear layer, its bias not yet added (null: none).
struct Addend {
  MatrixView<const float> y;
  const float* bias = nullptr;
};
// x += all addends; out = normalize(x). out may be x, or empty: then there is no norm.
void add_and_normalize(const ModelConfig& config, std::span<const Addend> addends, const NormWeights& norm,
                       MatrixView<float> x, MatrixView<float> out);

// gated: x [n, 2m] = [gate | up] and x[:, :m] = activation(gate + bias) * (up + bias); else x = activation(x + bias).
void activate(Activation activation, bool gated, const float* bias, MatrixView<float> x);

// One row or head at a time.
void add_to(const float* y, float* x, size_t n);  // x += y
void rms_norm_head(const float* weight, float eps, float* x, size_t n);
void rotate_head(RopePairs order, const float* table, size_t pairs, float* x);  // table: Rope::table_row

}  // namespace occ
