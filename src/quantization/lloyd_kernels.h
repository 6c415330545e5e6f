// SIMD kernels of `lloyd`. For t = x / scale the symbol q is the number of borders below t, with borders midway between
// levels, and x' = scale * level[q]. The kernels allocate no memory and cannot fail. Sums are made as described in
// partial_sums-inl.h, so that they are the same on every CPU.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "occ/matrix.h"
#include "quantization/scale_grid.h"
#include "tensor/symbols.h"

namespace occ {

// The levels, and what is needed to find the nearest one. With up to 16 levels, t is compared with every border. With
// more levels, a table of evenly spaced cells tells how many borders lie below the cell of t, and a binary search finds
// the place among the few borders inside the cell.
struct LevelSearch {
  static constexpr size_t kMaxLevels = 256;
  static constexpr size_t kCells = 2048;
  size_t count = 0;
  alignas(64) std::array<float, kMaxLevels> level = {};
  alignas(64) std::array<float, 2 * kMaxLevels> border = {};  // [count - 1], then +infinity
  float origin = 0, cells_per_unit = 0;
  size_t first_jump = 0;  // highest power of two that is at most the largest number of borders in a cell
  alignas(64) std::array<int32_t, kCells> below = {};

  // Takes 2 to 256 ascending levels (equal ones are allowed) of magnitude at most kMaxLevel.
  static constexpr float kMaxLevel = 0x1p64f;
  void set_levels(std::span<const float> levels);
};

void lloyd_quantize(const LevelSearch& levels, const ScaleWindow& window, MatrixView<float> values,
                    MatrixView<Symbol> symbols);
void lloyd_dequantize(const LevelSearch& levels, const ScaleWindow& window, MatrixView<const Symbol> symbols,
                      MatrixView<float> out);
// Computes t and q for a rectangle and stores the rows one after the other: element (r, c) is at r * cols + c.
void lloyd_assign(const LevelSearch& levels, const ScaleWindow& window, MatrixView<const float> x, float* t, Symbol* q);

// Sums over the values that share a scale. They give the squared error, (tt - 2 tl + ll) scale^2, and the best scale
// for the same symbols, scale * tl / ll.
struct LloydSums {
  double tt = 0, tl = 0, ll = 0;  // sums of t^2, t level[q], level[q]^2
};
LloydSums lloyd_sums(const LevelSearch& levels, MatrixView<const float> x, float scale);

}  // namespace occ
