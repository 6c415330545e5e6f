// Which elements of a plane share a scale (tensor/bf16_scales.h). Element (r, c) has scale number
//   per=row     r
//   per=tensor  0
//   per=column  c
//   group=g     r ceil(cols / g) + floor(c / g): g columns of a row share a scale; the last group may be shorter
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/parallel.h"
#include "base/params.h"
#include "occ/matrix.h"
#include "tensor/bf16_scales.h"

namespace occ {

enum class ScalePer : uint8_t { kRow, kTensor, kColumn, kGroup };

// The scales of a rectangle of a plane. Element (r, c) of the rectangle has scale number r * row_step + (phase + c) /
// group.
struct ScaleWindow {
  const float* scale = nullptr;
  size_t row_step = 0;
  size_t group = 1;
  size_t phase = 0;  // less than group
};

struct ScaleGrid {
  Shape shape;
  ScalePer per = ScalePer::kRow;
  size_t row_step = 0;
  size_t group = 1;  // at least 1
  size_t count = 0;  // number of scales

  // Returns the number of the scale of element (r, c).
  size_t index(size_t r, size_t c) const { return r * row_step + c / group; }
  // Returns the scales of the rectangle `at`, given the scales [count] of the plane.
  ScaleWindow window(const Rect& at, const float* scales) const {
    OCC_CHECK(at.row + at.rows <= shape.rows && at.col + at.cols <= shape.cols);
    return {.scale = scales + index(at.row, at.col), .row_step = row_step, .group = group, .phase = at.col % group};
  }
};

// The parameters that choose a grid. All quantizers with scales have them. If group > 0, `per` is ignored.
constexpr ParamSpec kPerParam = choice_param("per", "row", "row|tensor|column", "what shares a scale");
constexpr ParamSpec kGroupParam = int_param("group", "0", 0, 65536, "columns of a row that share a scale; 0: see per");

// Returns the grid that the parameters ask for. Usage error if group is given together with per=tensor or per=column.
ScaleGrid make_scale_grid(const Params& params, Shape shape);

// The elements that share scale number `index`, as a matrix of any shape.
struct ScaleLine {
  size_t index = 0;
  MatrixView<const float> x;
};

// Calls body(ScaleLine) for every scale, in any order and on all threads. Columns are copied so that a line is
// contiguous. The division into tasks depends only on the shape.
template <typename Body>
void for_each_line(const ScaleGrid& grid, MatrixView<const float> x, Body body) {
  constexpr size_t kPanel = size_t{1} << 16;  // number of elements
  const size_t rows = grid.shape.rows, cols = grid.shape.cols;
  switch (grid.per) {
    case ScalePer::kTensor:
      body(ScaleLine{0, x});
      return;
    case ScalePer::kColumn: {
      constexpr size_t kBlock = 16;
      parallel_for(ceil_div(cols, kBlock), [&](size_t task) {
        const size_t first = task * kBlock, count = std::min(kBlock, cols - first);
        Matrix<float> block = Matrix<float>::uninitialized(count, rows);
        for (size_t r = 0; r < rows; ++r) {
          for (size_t i = 0; i < count; ++i) block(i, r) = x(r, first + i);
        }
        for (size_t i = 0; i < count; ++i) body(ScaleLine{first + i, block.view().row_range(i, 1)});
      });
      return;
    }
    case ScalePer::kRow:
    case ScalePer::kGroup: {
      const size_t panel = std::max<size_t>(1, kPanel / std::max<size_t>(1, cols));
      parallel_for(ceil_div(rows, panel), [&](size_t task) {
        for (size_t r = task * panel; r < std::min(rows, (task + 1) * panel); ++r) {
          for (size_t i = 0; i < grid.row_step; ++i) {
            const size_t c = i * grid.group;
            const size_t length = std::min(grid.group, cols - c);
            body(ScaleLine{r * grid.row_step + i, x.sub({r, c, 1, length})});
          }
        }
      });
      return;
    }
  }
}

// Divides a line into panels for threads, depending only on its shape. Results of panels are merged in order.
class LinePanels {
 public:
  explicit LinePanels(MatrixView<const float> x) : x_(x), rows_(x.rows()), cols_(x.cols()), count_(x.size() != 0) {
    if (x.size() <= kPanel) return;
    if (x.rows() == 1) {
      cols_ = kPanel;
      count_ = ceil_div(x.cols(), cols_);
    } else {
      rows_ = std::max<size_t>(1, kPanel / x.cols());
      count_ = ceil_div(x.rows(), rows_);
    }
  }
  size_t count() const { return count_; }
  MatrixView<const float> operator[](size_t i) const {
    if (x_.rows() == 1) return x_.sub({0, i * cols_, 1, std::min(cols_, x_.cols() - i * cols_)});
    return x_.row_range(i * rows_, std::min(rows_, x_.rows() - i * rows_));
  }
  // Calls measure(panel) for all panels on all threads, and then merge(result) in the order of the panels.
  template <typename Result, typename Measure, typename Merge>
  void reduce(Measure measure, Merge merge) const {
    if (count_ == 1) {
      merge(measure((*this)[0]));
      return;
    }
    std::vector<Result> results(count_);
    parallel_for(count_, [&](size_t i) { results[i] = measure((*this)[i]); });
    for (const Result& r : results) merge(r);
  }

 private:
  static constexpr size_t kPanel = size_t{1} << 16;
  MatrixView<const float> x_;
  size_t rows_, cols_;  // shape of a panel
  size_t count_;        // number of panels
};

}  // namespace occ
