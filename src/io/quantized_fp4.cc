// Weights in FP4 (E2M1).
//
// MXFP4 of GPT-OSS (arXiv 2508.10925, section 2.1): NAME_blocks [experts, outputs, groups, 16] u8 with 32 values in
// each group, the low half of a byte first, and NAME_scales [experts, outputs, groups] u8, a power of two plus 127.
// NAME is [experts, inputs, outputs] in bf16, as transformers makes it. This is the other order of dimensions.
//
// NVFP4 and FP8 of NVIDIA's ModelOpt: weight [outputs, inputs / 2] u8, weight_scale [outputs, inputs / 16] E4M3,
// weight_scale_2 f32: w = e2m1 (weight_scale weight_scale_2). With weight in E4M3, weight_scale is one f32.
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/json.h"
#include "io/quantized_formats.h"
#include "io/quantized_fp8.h"
#include "io/quantized_rows.h"

namespace occ {
namespace {

constexpr size_t kGroup = 32;

struct Blocks {
  size_t blocks, scales;
  size_t outputs = 0, inputs = 0;
};

DecodeRows load_blocks(const StoredTensors& tensors, const Blocks& b) {
  auto bytes = std::make_shared<const Bytes>(tensors.bytes(b.blocks));
  auto scales = std::make_shared<const Bytes>(tensors.bytes(b.scales));
  std::array<float, 256> powers;
  for (size_t i = 0; i < powers.size(); ++i) powers[i] = std::ldexp(1.0f, static_cast<int>(i) - 127);
  return [b, bytes, scales, powers](size_t row, MatrixView<float> out) {
    const auto& values = float_e2m1().values;
    for (size_t r = 0; r < out.rows();) {  // rows of one byte's two inputs share what is read
      const size_t expert = (row + r) / b.inputs, i = (row + r) % b.inputs;
      const size_t together = i % 2 == 0 && r + 1 < out.rows() && i + 1 < b.inputs ? 2 : 1;
      const size_t groups = b.inputs / kGroup;
      for (size_t o = 0; o < b.outputs; ++o) {
        const size_t line = expert * b.outputs + o;
        const uint8_t byte = (*bytes)[line * b.inputs / 2 + i / 2];
        const float scale = powers[(*scales)[line * groups + i / kGroup]];
        if (together == 2) {
          out.row(r)[o] = values[byte & 15] * scale;
          out.row(r + 1)[o] = values[byte >> 4] * scale;
        } else {
          out.row(r)[o] = values[i % 2 == 0 ? byte & 15 : byte >> 4] * scale;
        }
      }
      r += together;
    }
    for (size_t r = 0; r < out.rows(); ++r) round_to(DType::kBF16, out.row(r), b.outputs);
  };
}

}  // namespace

void find_mxfp4(const StoredTensors& tensors, const nlohmann::json& /*config*/, std::vector<QuantizedWeight>* out) {
  for (const TensorInfo& info : tensors.all()) {
    const std::optional<std::string> name = without_ending(info.name, "_blocks");
    if (!name) continue;
    Blocks b;
    b.blocks = tensors.require(info.name, {"U8"});
    b.scales = tensors.require(*name + "_scales", {"U8"});
    const auto& shape = info.shape;
    if (shape.size() != 4 || shape[3] != kGroup / 2 || info.elements() == 0 ||
        tensors.info(b.scales).shape != std::vector<uint64_t>(shape.begin(), shape.end() - 1)) {
      tensors.fail(b.blocks, "[experts, outputs, groups, 16] with one scale for each group");
    }
    b.outputs = shape[1];
    b.inputs = shape[2] * kGroup;
    QuantizedWeight w;
    w.name = *name;
    w.shape = {shape[0], b.inputs, b.outputs};
    w.dtype = DType::kBF16;
    w.type = "MXFP4";
    w.parts = {b.blocks, b.scales};
    w.rows_together = 64;
    w.load = [&tensors, b] { return load_blocks(tensors, b); };
    out->push_back(std::move(w));
  }
}

QuantizedWeight packed_fp4_weight(const StoredTensors& tensors, const Fp4Parts& p) {
  const auto& shape = tensors.info(p.packed).shape;
  const auto& grid = tensors.info(p.scale).shape;
  if (shape.size() < 2 || grid.size() != shape.size() || grid.back() == 0 || shape.back() * 2 % grid.back() != 0 ||
      !std::equal(shape.begin(), shape.end() - 1, grid.begin())) {
    tensors.fail(p.packed, "[outputs, inputs / 2] with scales of [outputs, groups]");
  }
  QuantizedWeight w;
  w.name = p.name;
  w.shape = shape;
  w.shape.back() *= 2;
  w.dtype = p.dtype;
  w.type = p.type;
  w.parts = {p.packed, p.scale};
  if (p.global) w.parts.push_back(*p.global);
  w.load = [&tensors, p, shape = rows_of(w.shape), groups = grid.back()]() -> DecodeRows {
    auto s = std::make_shared<GroupScales>();
    s->rows = shape.rows;
    s->groups = groups;
    s->group_size = shape.cols / groups;
    s->codes = 16;
    s->scale = tensors.floats(p.scale);
    if (tensors.type(p.scale) == "U8") {  // exponents of a power of two
      for (float& v : s->scale) v = std::ldexp(1.0f, static_cast<int>(v) - 127);
    }
    if (p.global) {
      const std::vector<float> global = tensors.floats(*p.global);
      if (global.size() != 1) tensors.fail(*p.global, "one value");
      for (float& v : s->scale) v = p.divides ? v / global[0] : v * global[0];
      if (p.divides) round_to(p.scale_dtype, s->scale.data(), s->scale.size());
    }
    auto bytes = std::make_shared<const Bytes>(tensors.bytes(p.packed));
    return [s, bytes, shape, dtype = p.dtype](size_t row, MatrixView<float> out) {
      std::vector<uint8_t> codes(shape.cols);
      for (size_t r = 0; r < out.rows(); ++r) {
        unpack_halves(bytes->data() + (row + r) * shape.cols / 2, shape.cols, codes.data());
        scale_row(*s, row + r, codes.data(), shape.cols, float_e2m1().values, dtype, out.row(r));
      }
    };
  };
  return w;
}

void find_modelopt(const StoredTensors& tensors, const nlohmann::json& /*config*/, std::vector<QuantizedWeight>* out) {
  for (size_t i = 0; i < tensors.all().size(); ++i) {
    const std::string& name = tensors.info(i).name;
    if (name.ends_with(".pre_quant_scale") || name.find(".svdquant_lora_") != std::string::npos) {
      throw_input("{}: tensor '{}': scaled inputs and low-rank terms of ModelOpt are not supported",
                  tensors.folder().path(), printable(name));
    }
    const std::optional<size_t> scale = tensors.find(name + "_scale"), second = tensors.find(name + "_scale_2");
    if (!scale || !name.ends_with("weight")) continue;
    if (!second) {
      tensors.require(name, {"F8_E4M3"});
      out->push_back(scaled_weight(tensors, i, *scale, "F8_E4M3", {0, 0}));
      continue;
    }
    tensors.require(name, {"U8"});
    tensors.require(name + "_scale", {"F8_E4M3"});
    Fp4Parts p;
    p.name = name;
    p.type = "NVFP4";
    p.packed = i;
    p.scale = *scale;
    p.global = second;
    out->push_back(packed_fp4_weight(tensors, p));
  }
}

}  // namespace occ
