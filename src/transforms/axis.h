// Shared by the transforms along one axis of a matrix. axis=in mixes the columns of every row, which are the input
// features of y = W x. axis=out mixes the rows of every column, which are the output features.
#pragma once

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "base/error.h"
#include "occ/matrix.h"
#include "simd/panel.h"
#include "transforms/transform.h"

namespace occ {

enum class Axis { kIn, kOut };

constexpr ParamSpec axis_param() {
  return choice_param("axis", "in", "in|out", "mix the columns of every row (in) or the rows of every column (out)");
}
constexpr ParamSpec block_param() {
  return int_param("block", "0", 0, 1 << 24, "length of the blocks that are transformed one by one, 0: the whole axis");
}
inline Axis axis_of(const Params& params) { return params.choice("axis") == "in" ? Axis::kIn : Axis::kOut; }
inline size_t axis_length(Axis axis, Shape shape) { return axis == Axis::kIn ? shape.cols : shape.rows; }

// The traits and the granule of an orthonormal transform along the axis. Along columns it needs all rows at once, but
// takes any columns, and it is not a map of single rows.
inline TransformTraits axis_traits(Axis axis) {
  return {.linear = axis == Axis::kIn,
          .isometric = true,
          .row_local = axis == Axis::kIn,
          .maps_rows = axis == Axis::kIn,
          .maps_columns = axis == Axis::kOut};
}
inline Granule axis_granule(Axis axis) { return axis == Axis::kIn ? Granule{1, 0} : Granule{0, 1}; }

// Copies a matrix. Source and destination may be the same memory.
template <typename T>
void copy_matrix(MatrixView<const T> from, MatrixView<T> to) {
  if (from.data() == to.data() && from.stride() == to.stride()) return;
  for (size_t r = 0; r < from.rows() && from.cols() != 0; ++r) {
    std::memmove(to.row(r), from.row(r), from.cols() * sizeof(T));
  }
}

// Takes the vectors of x along `axis` in groups of up to 16. For each group it loads the elements
// [offset, offset + length) into `panel` [length, 16] and stores the panel that body(panel) returns at the same place
// of y, which may be x itself.
template <typename Body>
void for_each_panel(Axis axis, MatrixView<const float> x, MatrixView<float> y, size_t offset, size_t length,
                    float* panel, const Body& body) {
  const size_t vectors = axis == Axis::kIn ? x.rows() : x.cols();
  for (size_t v = 0; v < vectors; v += kPanelLanes) {
    const size_t lanes = std::min(kPanelLanes, vectors - v);
    if (axis == Axis::kIn) {
      const Rect at{v, offset, lanes, length};
      load_panel_rows(x.sub(at), panel);
      store_panel_rows(body(panel), y.sub(at));
    } else {
      const Rect at{offset, v, length, lanes};
      load_panel_columns(x.sub(at), panel);
      store_panel_columns<float>(body(panel), y.sub(at));
    }
  }
}

// h := T h T^T for a symmetric h [n, n], where apply(h) computes h := T h. If apply computes h := h T instead, this
// gives T^T h T.
template <typename Apply>
void congruence(MatrixView<double> h, const Apply& apply) {
  OCC_CHECK(h.rows() == h.cols());
  apply(h);
  for (size_t r = 0; r < h.rows(); ++r) {
    for (size_t c = 0; c < r; ++c) std::swap(h(r, c), h(c, r));
  }
  apply(h);
  for (size_t r = 0; r < h.rows(); ++r) {
    for (size_t c = 0; c < r; ++c) h(r, c) = h(c, r) = (h(r, c) + h(c, r)) / 2;
  }
}

// Takes h [n, m] in panels of 16 columns, [n, 16]. body(panel) transforms each of them in place. `panel` has room for
// one.
template <typename Body>
void for_each_column_panel(MatrixView<double> h, double* panel, const Body& body) {
  for (size_t c = 0; c < h.cols(); c += kPanelLanes) {
    const auto strip = h.sub({0, c, h.rows(), std::min(kPanelLanes, h.cols() - c)});
    load_panel_columns<double>(strip, panel);
    body(panel);
    store_panel_columns<double>(panel, strip);
  }
}

// Registry functions of a transform class T that follows from parameters and shape alone. T has the constructor
// T(params, shape, kind of its errors).
template <typename T>
std::unique_ptr<Transform> fit_by_shape(const Params& params, MatrixView<const float> x, const FitContext&) {
  return std::make_unique<T>(params, x.shape(), ErrorKind::kUsage);
}
template <typename T>
std::unique_ptr<Transform> load_by_shape(const Params& params, Shape shape, ByteReader&) {
  return std::make_unique<T>(params, shape, ErrorKind::kInput);
}

}  // namespace occ
