#include "quantization/scale_grid.h"

#include "tensor/dtype.h"

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

int scale_code_near(double value) {
  if (!(value > 0)) return 0;
  if (value > FLT_MAX) return kMaxScaleCode;
  return std::min<int>(f32_to_bf16(static_cast<float>(value)), kMaxScaleCode);
}

void put_scales(const std::vector<float>& scales, ByteWriter& out) {
  std::vector<uint16_t> codes(scales.size());
  for (size_t i = 0; i < scales.size(); ++i) codes[i] = f32_to_bf16(scales[i]);
  out.put_array(codes.data(), codes.size());
}

std::vector<float> get_scales(size_t count, ByteReader& side) {
  if (count > side.remaining() / sizeof(uint16_t)) {
    throw_input("{}: expected {} scales, found {} bytes", side.what(), count, side.remaining());
  }
  std::vector<uint16_t> codes(count);
  side.get_array(codes.data(), count);
  std::vector<float> scales(count);
  for (size_t i = 0; i < count; ++i) {
    if (codes[i] > kMaxScaleCode) {
      throw_input("{}: expected scale {} to be a finite number >= 0, found bf16 pattern {:#06x}", side.what(), i,
                  codes[i]);
    }
    scales[i] = bf16_to_f32(codes[i]);
  }
  return scales;
}

}  // namespace occ
