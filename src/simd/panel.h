// Panels: 16 vectors of length n side by side, element i of vector v at panel[i * 16 + v]. Work on a panel is vertical
// (SIMD lanes are different vectors), so every vector gets the same operations on every target. Vectors are rows of a
// matrix (load_rows transposes) or columns of it (load_columns copies).
#pragma once

#include <cstddef>

#include "occ/matrix.h"

namespace occ {

inline constexpr size_t kPanelLanes = 16;

// y [cols, rows] = transpose of x [rows, cols]; they must not overlap.
void transpose(MatrixView<const float> x, MatrixView<float> y);

// panel [x.cols() * 16]; x has at most 16 rows, missing lanes become zero.
void load_panel_rows(MatrixView<const float> x, float* panel);
void store_panel_rows(const float* panel, MatrixView<float> x);

// panel [x.rows() * 16]; x has at most 16 columns, missing lanes become zero.
template <typename T>
void load_panel_columns(MatrixView<const T> x, T* panel) {
  for (size_t r = 0; r < x.rows(); ++r, panel += kPanelLanes) {
    if (x.cols() != 0) std::memcpy(panel, x.row(r), x.cols() * sizeof(T));
    if (x.cols() < kPanelLanes) std::memset(panel + x.cols(), 0, (kPanelLanes - x.cols()) * sizeof(T));
  }
}
template <typename T>
void store_panel_columns(const T* panel, MatrixView<T> x) {
  for (size_t r = 0; r < x.rows() && x.cols() != 0; ++r, panel += kPanelLanes) {
    std::memcpy(x.row(r), panel, x.cols() * sizeof(T));
  }
}

}  // namespace occ
