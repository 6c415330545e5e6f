// Panels: 16 vectors of length n side by side, with element i of vector v at panel[i * 16 + v]. The lanes of SIMD
// operations are different vectors, so that every vector gets the same operations on every SIMD target. The vectors are
// rows of a matrix, which are transposed when loaded and stored, or columns of it, which are copied.
#pragma once

#include <cstddef>

#include "occ/matrix.h"

namespace occ {

inline constexpr size_t kPanelLanes = 16;

// y [cols, rows] = the transpose of x [rows, cols]. They must not overlap.
void transpose(MatrixView<const float> x, MatrixView<float> y);

// Between at most 16 rows of a matrix and a panel [x.cols(), 16]. Loading sets missing vectors to zero.
void load_panel_rows(MatrixView<const float> x, float* panel);
void store_panel_rows(const float* panel, MatrixView<float> x);

// Between at most 16 columns of a matrix and a panel [x.rows(), 16]. Loading sets missing vectors to zero.
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
