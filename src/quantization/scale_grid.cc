#include "quantization/scale_grid.h"

#include "base/error.h"

namespace occ {

ScaleGrid make_scale_grid(const Params& params, Shape shape) {
  ScaleGrid grid;
  grid.shape = shape;
  grid.group = std::max<size_t>(1, shape.cols);
  const std::string& per = params.choice("per");
  const size_t group = static_cast<size_t>(params.integer("group"));
  if (group > 0) {
    if (per != "row") throw_usage("group={}: expected no other value of per, found per={}", group, per);
    grid.per = ScalePer::kGroup;
    grid.group = group;
    grid.row_step = ceil_div(shape.cols, group);
    if (__builtin_mul_overflow(shape.rows, grid.row_step, &grid.count)) {
      throw_input("a plane of {} x {} is too large", shape.rows, shape.cols);
    }
  } else if (per == "row") {
    grid.per = ScalePer::kRow;
    grid.row_step = 1;
    grid.count = shape.rows;
  } else if (per == "column") {
    grid.per = ScalePer::kColumn;
    grid.group = 1;
    grid.count = shape.cols;
  } else {
    grid.per = ScalePer::kTensor;
    grid.count = 1;
  }
  return grid;
}

}  // namespace occ
