// Weights in FP8 (E4M3 or E5M2) with scales for the tensor, for rows, or for blocks of rows and columns: the methods
// "fp8" (DeepSeek-V3, arXiv 2412.19437, section 3.3; transformers' finegrained_fp8), "fbgemm_fp8", and MXFP8.
//
//   w[r][c] = weight[r][c] weight_scale_inv[r / block_rows][c / block_cols]
//
// The blocks are those of weight_block_size, or they follow from the number of scales. Scales of E8M0 or of u8 are
// powers of two. A stack [experts, rows, cols] has a grid of scales for every expert.
#include "io/quantized_fp8.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/json.h"
#include "io/quantized_formats.h"
#include "io/quantized_rows.h"

namespace occ {
namespace {

struct Grid {
  size_t weight, scale;
  size_t rows = 0, cols = 0;              // of one matrix of a stack
  size_t block_rows = 0, block_cols = 0;  // of a scale
  size_t scale_rows = 0, scale_cols = 0;  // scales of one matrix
  DType dtype = DType::kF32;
};

std::vector<float> scales_of(const StoredTensors& tensors, size_t scale) {
  std::vector<float> values = tensors.floats(scale);
  if (tensors.type(scale) == "U8") {
    for (float& v : values) v = std::ldexp(1.0f, static_cast<int>(v) - 127);
  }
  return values;
}

DecodeRows load(const StoredTensors& tensors, const Grid& g) {
  const SmallFloat* type = find_small_float(tensors.type(g.weight));
  const CodeValues values = type == nullptr ? signed_values() : type->values;
  auto codes = std::make_shared<const Bytes>(tensors.bytes(g.weight));
  auto all = std::make_shared<const std::vector<float>>(scales_of(tensors, g.scale));
  return [g, values, codes, all](size_t row, MatrixView<float> out) {
    GroupScales s;
    s.rows = 1;
    s.groups = g.scale_cols;
    s.group_size = g.block_cols;
    for (size_t r = 0; r < out.rows(); ++r) {
      const size_t at = row + r, matrix = at / g.rows;
      const auto first =
          all->begin() + static_cast<ptrdiff_t>((matrix * g.scale_rows + at % g.rows / g.block_rows) * g.scale_cols);
      s.scale.assign(first, first + static_cast<ptrdiff_t>(g.scale_cols));
      scale_row(s, 0, codes->data() + at * g.cols, g.cols, values, g.dtype, out.row(r));
    }
  };
}

// The block size along a dimension of `size` values with `scales` scales; 0: none fits.
size_t block_of(size_t size, size_t scales, size_t configured) {
  if (scales == 0) return 0;
  if (configured != 0 && (size - 1) / configured + 1 == scales) return configured;
  return size % scales == 0 ? size / scales : 0;
}

}  // namespace

QuantizedWeight scaled_weight(const StoredTensors& tensors, size_t weight, size_t scale, const std::string& type,
                              std::pair<size_t, size_t> configured) {
  const TensorInfo& info = tensors.info(weight);
  std::vector<uint64_t> grid = tensors.info(scale).shape;
  Grid g;
  g.weight = weight;
  g.scale = scale;
  if (info.shape.size() < 2 || info.elements() == 0) tensors.fail(weight, "a matrix");
  g.cols = info.shape.back();
  g.rows = info.shape[info.shape.size() - 2];
  const uint64_t matrices = info.elements() / (g.rows * g.cols);
  // One scale, one for every row, or a grid for every matrix.
  if (tensors.info(scale).elements() == 1) grid.assign(info.shape.size(), 1);
  if (grid.size() == 1) grid.resize(info.shape.size(), 1);  // one for every row, or for every matrix of a stack
  uint64_t stack = 1;
  for (size_t i = 0; i + 2 < grid.size(); ++i) stack *= grid[i];
  if (grid.size() != info.shape.size() || (stack != matrices && tensors.info(scale).elements() != 1)) {
    tensors.fail(scale, fmt::format("a grid of scales for '{}'", printable(info.name)));
  }
  g.scale_rows = grid[grid.size() - 2];
  g.scale_cols = grid.back();
  g.block_rows = block_of(g.rows, g.scale_rows, configured.first);
  g.block_cols = block_of(g.cols, g.scale_cols, configured.second);
  if (g.block_rows == 0 || g.block_cols == 0) {
    tensors.fail(scale, fmt::format("whole blocks of {} x {} values", g.rows, g.cols));
  }
  if (tensors.info(scale).elements() == 1) g.block_rows = g.rows * matrices, g.rows *= matrices;
  const std::string_view scale_type = tensors.type(scale);
  if (scale_type == "F16" || scale_type == "BF16") g.dtype = tensors.info(scale).dtype;
  if (scale_type == "U8" || scale_type == "F8_E8M0") g.dtype = DType::kBF16;
  QuantizedWeight w;
  w.name = info.name;
  w.shape = info.shape;
  w.dtype = g.dtype;
  w.type = type;
  w.parts = {weight, scale};
  w.load = [&tensors, g] { return load(tensors, g); };
  return w;
}

void find_fp8(const StoredTensors& tensors, const nlohmann::json& config, std::vector<QuantizedWeight>* out) {
  std::pair<size_t, size_t> block = {0, 0};
  const auto size = config.find("weight_block_size");
  if (size != config.end() && size->is_array() && size->size() == 2 && (*size)[0].is_number_unsigned() &&
      (*size)[1].is_number_unsigned()) {
    block = {(*size)[0].get<size_t>(), (*size)[1].get<size_t>()};
  }
  for (size_t i = 0; i < tensors.all().size(); ++i) {
    const std::string& name = tensors.info(i).name;
    for (const char* ending : {"_scale_inv", "_scale"}) {
      const std::optional<size_t> scale = tensors.find(name + ending);
      if (!scale) continue;
      const std::string_view type = tensors.type(i);
      if (type == "I8") {  // stacks of experts may be packed E2M1
        const DType dtype = tensors.type(*scale) == "F32" ? DType::kF32 : DType::kBF16;
        out->push_back(packed_fp4_weight(
            tensors, {.name = name, .type = "FP4", .packed = i, .scale = *scale, .global = {}, .dtype = dtype}));
      } else if (type.starts_with("F8_E") && type != "F8_E8M0") {
        out->push_back(scaled_weight(tensors, i, *scale, std::string(type), block));
      } else if (name.ends_with("weight")) {
        tensors.fail(i, fmt::format("floats of 8 bits, not {}", type));
      }
      break;
    }
  }
}

}  // namespace occ
