// Loops over elements of `lloyd`. t = x / scale; q = number of borders < t, borders midway between levels;
// x' = scale * level[q]: one multiplication. Kernels allocate nothing and cannot fail; sums as in partial_sums-inl.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "occ/matrix.h"
#include "quantization/scale_grid.h"
#include "tensor/symbols.h"

namespace occ {

// Levels with what finds the nearest one. Up to 16 levels: compare with every border. More: a table over evenly spaced
// cells says how many borders lie below the cell; a binary search among the few borders inside does the rest.
struct LevelSearch {
  static constexpr size_t kMaxLevels = 256;
  static constexpr size_t kCells = 2048;
  size_t count = 0;
  alignas(64) std::array<float, kMaxLevels> level = {};
  alignas(64) std::array<float, 2 * kMaxLevels> border = {};  // [count - 1], then +infinity
  float origin = 0, cells_per_unit = 0;
  size_t first_jump = 0;  // highest power of two <= most borders in a cell; 0: none has any
  alignas(64) std::array<int32_t, kCells> below = {};

  // 2 .. 256 ascending levels (equal ones are allowed) of magnitude <= kMaxLevel.
  static constexpr float kMaxLevel = 0x1p64f;
  void set_levels(std::span<const float> levels);
};

void lloyd_quantize(const LevelSearch& levels, const ScaleWindow& window, MatrixView<float> values,
                    MatrixView<Symbol> symbols);
void lloyd_dequantize(const LevelSearch& levels, const ScaleWindow& window, MatrixView<const Symbol> symbols,
                      MatrixView<float> out);
// t and q of one rectangle, rows packed one after another: t[r * cols + c].
void lloyd_assign(const LevelSearch& levels, const ScaleWindow& window, MatrixView<const float> x, float* t, Symbol* q);

// Sums of a line at one scale, from which follow the error and the best scale for the same assignment.
struct LloydSums {
  double tt = 0, tl = 0, ll = 0;  // sums of t^2, t level[q], level[q]^2
};
LloydSums lloyd_sums(const LevelSearch& levels, MatrixView<const float> x, float scale);

}  // namespace occ
