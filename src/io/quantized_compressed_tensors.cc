// The package compressed-tensors (llm-compressor, vLLM), its formats pack-quantized, int-, float- and naive-quantized,
// nvfp4-pack-quantized, mxfp4-pack-quantized and mxfp8-quantized. What a weight is follows from its tensors:
//
//   weight_packed i32, weight_scale, weight_shape: integers of 1 to 8 bits plus 2^(bits - 1), dense along a row;
//     weight_zero_point i32 likewise along a column; weight_g_idx: the group of a column (activation ordering)
//   weight_packed u8, weight_scale E4M3, weight_global_scale: w = e2m1 (scale / global)
//   weight_packed u8, weight_scale u8: w = e2m1 2^(scale - 127)
//   weight i8 or F8, weight_scale: one scale for the tensor, a row, a block or a group; weight_zero_point i8
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/json.h"
#include "io/quantized_formats.h"
#include "io/quantized_fp8.h"
#include "io/quantized_rows.h"

namespace occ {
namespace {

struct Packed {
  size_t weight, scale;
  std::optional<size_t> zeros, group_index;
  Shape shape;
  size_t groups = 1, group_size = 1, words = 0;
  unsigned bits = 4;
  DType dtype = DType::kF32;
};

DecodeRows load_packed(const StoredTensors& tensors, const Packed& p) {
  auto s = std::make_shared<GroupScales>();
  s->rows = p.shape.rows;
  s->groups = p.groups;
  s->group_size = p.group_size;
  s->codes = size_t{1} << p.bits;
  s->scale = tensors.floats(p.scale);
  if (s->scale.size() == 1) s->scale.assign(p.shape.rows, s->scale[0]);
  const float offset = static_cast<float>(1u << (p.bits - 1));
  if (p.zeros) {
    const Bytes zeros = tensors.bytes(*p.zeros);
    s->zero.resize(s->rows * s->groups);
    for (size_t r = 0; r < s->rows; ++r) {
      for (size_t g = 0; g < s->groups; ++g) {
        const uint32_t code = packed_code(zeros.data() + g * 4, s->groups, r, p.bits);
        s->zero[r * s->groups + g] = static_cast<float>(code) - offset;
      }
    }
  }
  if (p.group_index) {
    for (const float v : tensors.floats(*p.group_index)) {
      if (!(v >= 0 && v < static_cast<float>(p.groups))) {
        tensors.fail(*p.group_index, fmt::format("numbers of groups below {}", p.groups));
      }
      s->group_of.push_back(static_cast<uint32_t>(v));
    }
  }
  auto words = std::make_shared<const Bytes>(tensors.bytes(p.weight));
  return [p, s, words, values = offset_values(offset)](size_t row, MatrixView<float> out) {
    std::vector<uint8_t> codes(p.shape.cols);
    for (size_t r = 0; r < out.rows(); ++r) {
      unpack_codes(words->data() + (row + r) * p.words * 4, p.bits, p.shape.cols, codes.data());
      scale_row(*s, row + r, codes.data(), p.shape.cols, values, p.dtype, out.row(r));
    }
  };
}

// The only width of codes with which a row of `cols` takes `words` words, preferably the configured one.
unsigned bits_of(size_t cols, size_t words, unsigned configured) {
  const auto fits = [&](unsigned bits) { return (cols * bits + 31) / 32 == words; };
  if (configured >= 1 && configured <= 8 && fits(configured)) return configured;
  for (unsigned bits = 1; bits <= 8; ++bits) {
    if (fits(bits)) return bits;
  }
  return 0;
}

// num_bits of the first group of modules; others are found by the number of words.
unsigned configured_bits(const nlohmann::json& config) {
  const auto groups = config.find("config_groups");
  if (groups == config.end() || !groups->is_object()) return 0;
  for (const auto& [name, group] : groups->items()) {
    const auto weights = group.is_object() ? group.find("weights") : group.end();
    if (weights != group.end() && weights->is_object()) {
      return static_cast<unsigned>(std::min<size_t>(json_size(*weights, "num_bits", 0), 255));
    }
  }
  return 0;
}

QuantizedWeight packed_weight(const StoredTensors& tensors, const nlohmann::json& config, const std::string& name) {
  Packed p;
  p.weight = tensors.require(name + "_packed", {"I32"});
  p.scale = tensors.require(name + "_scale", {"F32", "F16", "BF16"});
  const size_t shape = tensors.require(name + "_shape", {"I64", "I32"});
  p.zeros = tensors.find(name + "_zero_point");
  p.group_index = tensors.find(name + "_g_idx");
  const std::vector<float> dims = tensors.info(shape).elements() == 2 ? tensors.floats(shape) : std::vector<float>{};
  const auto& packed = tensors.info(p.weight).shape;
  if (packed.size() != 2 || packed[0] == 0 || dims.size() != 2 || static_cast<float>(packed[0]) != dims[0] ||
      !(dims[1] >= 1 && dims[1] <= static_cast<float>(packed[1] * 32))) {
    tensors.fail(p.weight, "a matrix of the rows that weight_shape says");
  }
  p.shape = {packed[0], static_cast<size_t>(dims[1])};
  p.words = packed[1];
  p.bits = bits_of(p.shape.cols, p.words, configured_bits(config));
  if (p.bits == 0) tensors.fail(p.weight, fmt::format("words for {} codes of 1 to 8 bits", p.shape.cols));
  const TensorInfo& scale = tensors.info(p.scale);
  p.groups = scale.elements() == 1 || scale.shape.size() == 1 ? 1 : scale.shape.back();
  if (p.groups == 0 || (scale.elements() != 1 && scale.elements() != p.shape.rows * p.groups)) {
    tensors.fail(p.scale, "one scale for each group of each row");
  }
  p.group_size = (p.shape.cols - 1) / p.groups + 1;
  if ((p.shape.cols - 1) / p.group_size + 1 != p.groups) tensors.fail(p.scale, "groups of equal size");
  if (p.zeros) {
    tensors.require(name + "_zero_point", {"I32"});
    const uint64_t words = (p.shape.rows * p.bits + 31) / 32;
    if (tensors.info(*p.zeros).elements() != words * p.groups) {
      tensors.fail(*p.zeros, "one zero point for every scale");
    }
  }
  if (p.group_index && tensors.info(*p.group_index).elements() != p.shape.cols) {
    tensors.fail(*p.group_index, fmt::format("the groups of {} columns", p.shape.cols));
  }
  p.dtype = scale.dtype;
  QuantizedWeight w;
  w.name = name;
  w.shape = {p.shape.rows, p.shape.cols};
  w.dtype = p.dtype;
  w.type = fmt::format("int{}", p.bits);
  w.parts = {p.weight, p.scale, shape};
  if (p.zeros) w.parts.push_back(*p.zeros);
  if (p.group_index) w.parts.push_back(*p.group_index);
  w.load = [&tensors, p] { return load_packed(tensors, p); };
  return w;
}

QuantizedWeight packed_floats(const StoredTensors& tensors, const std::string& name) {
  Fp4Parts p;
  p.name = name;
  p.packed = tensors.require(name + "_packed", {"U8"});
  p.scale = tensors.require(name + "_scale", {"F8_E4M3", "U8", "F8_E8M0"});
  p.global = tensors.find(name + "_global_scale");
  p.type = p.global ? "NVFP4" : "MXFP4";
  p.divides = true;
  p.dtype = DType::kBF16;
  return packed_fp4_weight(tensors, p);
}

// Integers of 8 bits with zero points, which are as many as the scales.
QuantizedWeight with_zero_points(const StoredTensors& tensors, size_t weight, size_t scale, size_t zeros) {
  const TensorInfo& info = tensors.info(weight);
  tensors.require(tensors.info(zeros).name, {"I8"});
  const Shape shape = rows_of(info.shape);
  const uint64_t count = tensors.info(scale).elements();
  const bool one = count == 1;
  if (shape.size() == 0 || count == 0 || tensors.info(zeros).elements() != count || (!one && count % shape.rows != 0)) {
    tensors.fail(zeros, "one zero point for every scale");
  }
  const size_t groups = one ? 1 : count / shape.rows, group_size = (shape.cols - 1) / groups + 1;
  if ((shape.cols - 1) / group_size + 1 != groups) tensors.fail(scale, "groups of equal size");
  QuantizedWeight w;
  w.name = info.name;
  w.shape = info.shape;
  w.dtype = tensors.info(scale).dtype;
  w.type = "int8";
  w.parts = {weight, scale, zeros};
  w.load = [=, &tensors, dtype = w.dtype]() -> DecodeRows {
    auto s = std::make_shared<GroupScales>();
    s->rows = shape.rows;
    s->groups = groups;
    s->group_size = group_size;
    s->scale = tensors.floats(scale);
    s->zero = tensors.floats(zeros);
    if (one) s->scale.assign(shape.rows, s->scale[0]), s->zero.assign(shape.rows, s->zero[0]);
    auto codes = std::make_shared<const Bytes>(tensors.bytes(weight));
    return [s, codes, shape, dtype, values = signed_values()](size_t row, MatrixView<float> out) {
      for (size_t r = 0; r < out.rows(); ++r) {
        scale_row(*s, row + r, codes->data() + (row + r) * shape.cols, shape.cols, values, dtype, out.row(r));
      }
    };
  };
  return w;
}

}  // namespace

void find_compressed_tensors(const StoredTensors& tensors, const nlohmann::json& config,
                             std::vector<QuantizedWeight>* out) {
  const std::string format = json_text(config, "format", "");
  const auto sparsity = config.find("sparsity_config");
  const std::string sparse =
      sparsity != config.end() && sparsity->is_object() ? json_text(*sparsity, "format", "dense") : "dense";
  if (format.starts_with("marlin") || format.starts_with("sparse") || format.starts_with("mxfp6") ||
      sparse != "dense") {
    throw_input("{}: quantization_config: format '{}' of compressed-tensors is not supported", tensors.folder().path(),
                printable(sparse != "dense" ? sparse : format, 40));
  }
  const auto rotations = config.find("transform_config");
  if (rotations != config.end() && rotations->is_object() &&
      !rotations->value("config_groups", nlohmann::json()).empty()) {
    throw_input("{}: quantization_config: transform_config, rotations around the weights, is not supported",
                tensors.folder().path());
  }
  for (size_t i = 0; i < tensors.all().size(); ++i) {
    const std::string& name = tensors.info(i).name;
    if (const std::optional<std::string> base = without_ending(name, "_packed");
        base && tensors.find(*base + "_scale")) {
      out->push_back(tensors.type(i) == "U8" ? packed_floats(tensors, *base) : packed_weight(tensors, config, *base));
      continue;
    }
    const std::optional<size_t> scale = tensors.find(name + "_scale"), zeros = tensors.find(name + "_zero_point");
    if (!scale || !name.ends_with("weight")) continue;
    const std::string type(tensors.type(i));
    tensors.require(name, {"I8", "F8_E4M3", "F8_E5M2"});
    out->push_back(zeros ? with_zero_points(tensors, i, *scale, *zeros)
                         : scaled_weight(tensors, i, *scale, type == "I8" ? "int8" : type, {128, 128}));
  }
}

}  // namespace occ
