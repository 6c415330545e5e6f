// A weight of the form (integer - zero) * row factor * column factor, or with a factor and a zero for every row and group
// of columns, and its products with many or few inputs:
//
//   q  =  x times the column factors, in blocks of 256 columns as int8 with one scale for each block
//   y  =  row factor * sum over blocks of scale * (integers . q  -  zero * sum q)
//
// All multiplications of the inner loops are products of bytes. The only error is the rounding of q, that of a uniform
// quantizer with the step max |x| / 127 in each block: about 0.7 % of the norm for Gaussian activations.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "operators/activations.h"
#include "operators/packed_integers.h"

namespace occ {

// What stands beside the integers of W [rows, cols].
struct Factors {
  std::vector<float> rows, columns;  // or empty: ones
  std::vector<float> zeros;          // [rows], or empty: common_zero
  float common_zero = 0;
  // Or a factor and a zero for every row and `group` columns: then `rows` and `zeros` are empty.
  size_t group = 0, per_row = 0;
  Matrix<float> groups;    // [rows + 1, per_row]: readable beyond the last
  Matrix<float> products;  // factor * -zero, or empty: common_zero
};

struct IntegerWeight {
  std::unique_ptr<PackedIntegers> integers;
  Factors factors;
};

// y [n, rows] = x [n, cols] W^T on all threads. Any number of inputs n.
// Weights with groups of factors:
void multiply_grouped(const IntegerWeight& w, MatrixView<const float> x, MatrixView<float> y);
// Weights without, by strips: for few inputs. Several weights in one parallel loop.
struct WeightProduct {
  const IntegerWeight* weight;
  MatrixView<float> y;
};
void multiply_strips(std::span<const WeightProduct> products, MatrixView<const float> x);
// Weights without, by tiles: for many inputs, only where use_vnni() is true.
void multiply_tiles(const IntegerWeight& w, MatrixView<const float> x, MatrixView<float> y);
constexpr size_t kInputsOfTiles = 12;  // from so many on that is faster

// Writes the outputs of a panel's rows to y [rows]: row factor * (dots - zero * sum), where dots [64] are
// sum_c integer x[c] and sum = sum_c x[c].
void put_rows(const IntegerWeight& w, size_t panel, const float* dots, float sum, float* y);

// Activations far beyond the others of their block, kept in f32.
struct StripOutlier {
  uint32_t col, input;  // the column in the strip
  float value;
};
// By strip, sorted by column and input. outliers: of every input.
std::vector<std::vector<StripOutlier>> outliers_by_strip(const PackedIntegers& integers,
                                                         const std::vector<std::vector<Outlier>>& outliers);
// y [n, 64] += outlier * W's column of a strip, where fill(column in the strip, W of the panel's 64 rows) is called once per
// column.
template <typename Fill>
void add_outliers(const std::vector<StripOutlier>& outliers, const Fill& fill, MatrixView<float> y) {
  float column[kPanelRows] = {};
  uint32_t filled = UINT32_MAX;
  for (const StripOutlier& o : outliers) {
    if (o.col != filled) fill(o.col, column);
    filled = o.col;
    float* __restrict to = y.row(o.input);
    for (size_t r = 0; r < kPanelRows; ++r) to[r] += o.value * column[r];
  }
}

}  // namespace occ
