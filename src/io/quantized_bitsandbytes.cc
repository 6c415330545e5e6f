// The package bitsandbytes.
//
// 4 bits (NF4 and FP4, Dettmers et al. 2023, arXiv 2305.14314): weight u8, two values in a byte, the high half first;
//   value k of the flat tensor is quant_map[code] absmax[k / blocksize]. With double quantization absmax is u8:
//   absmax[j] = nested_quant_map[code] nested_absmax[j / nested_blocksize] + nested_offset.
//   weight.quant_state.bitsandbytes__nf4 is JSON: shape, blocksize, dtype and the nested ones.
// 8 bits (arXiv 2208.07339): weight i8, SCB f32 of each row: w = weight SCB / 127.
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/json.h"
#include "io/quantized_formats.h"
#include "io/quantized_rows.h"

namespace occ {
namespace {

struct FourBits {
  size_t weight, absmax, map;
  std::optional<size_t> nested_absmax, nested_map;
  Shape shape;
  size_t block = 64, nested_block = 256;
  float nested_offset = 0;
  DType dtype = DType::kF32;
};

DecodeRows load_four_bits(const StoredTensors& tensors, const FourBits& f) {
  std::vector<float> absmax = tensors.floats(f.absmax);
  if (f.nested_absmax) {
    const std::vector<float> nested = tensors.floats(*f.nested_absmax), map = tensors.floats(*f.nested_map);
    for (size_t j = 0; j < absmax.size(); ++j) {
      absmax[j] = map[static_cast<size_t>(absmax[j])] * nested[j / f.nested_block] + f.nested_offset;
    }
  }
  auto scales = std::make_shared<const std::vector<float>>(std::move(absmax));
  auto bytes = std::make_shared<const Bytes>(tensors.bytes(f.weight));
  return [f, scales, bytes, map = tensors.floats(f.map)](size_t row, MatrixView<float> out) {
    for (size_t r = 0; r < out.rows(); ++r) {
      float* to = out.row(r);
      size_t at = (row + r) * f.shape.cols;
      for (const size_t end = at + f.shape.cols; at < end;) {
        const float scale = (*scales)[at / f.block];
        const size_t stop = std::min(end, (at / f.block + 1) * f.block);
        for (; at < stop; ++at) *to++ = map[((*bytes)[at / 2] >> (at % 2 == 0 ? 4 : 0)) & 15] * scale;
      }
      round_to(f.dtype, out.row(r), f.shape.cols);
    }
  };
}

DType dtype_of(const std::string& name) {
  return name == "float16" ? DType::kF16 : name == "bfloat16" ? DType::kBF16 : DType::kF32;
}

QuantizedWeight four_bits(const StoredTensors& tensors, const std::string& name, size_t state) {
  const Bytes text = tensors.bytes(state);
  const std::string where =
      fmt::format("{}: tensor '{}'", tensors.folder().path(), printable(tensors.info(state).name));
  const nlohmann::json values = parse_json({reinterpret_cast<const char*>(text.data()), text.size()}, where);
  FourBits f;
  f.weight = tensors.require(name, {"U8"});
  f.absmax = tensors.require(name + ".absmax", {"F32", "U8"});
  f.map = tensors.require(name + ".quant_map", {"F32"});
  QuantizedWeight w;
  const auto shape = values.is_object() ? values.find("shape") : values.end();
  if (shape == values.end() || !shape->is_array() || shape->empty() || shape->size() > 8) {
    tensors.fail(state, "a member 'shape'");
  }
  uint64_t elements = 1;
  for (const auto& d : *shape) {
    if (!d.is_number_unsigned() || d.get<uint64_t>() == 0 || d.get<uint64_t>() > (uint64_t{1} << 40) / elements) {
      tensors.fail(state, "a shape of at most 2^40 elements");
    }
    w.shape.push_back(d.get<uint64_t>());
    elements *= w.shape.back();
  }
  f.shape = rows_of(w.shape);
  f.block = json_size(values, "blocksize", 64);
  f.dtype = dtype_of(json_text(values, "dtype", "float32"));
  const auto blocks = [&](uint64_t count, uint64_t block) { return block == 0 ? 0 : (count - 1) / block + 1; };
  const uint64_t count = blocks(elements, f.block);
  if (tensors.info(f.weight).elements() != (elements + 1) / 2) {
    tensors.fail(f.weight, fmt::format("{} values of 4 bits", elements));
  }
  if (count == 0 || tensors.info(f.absmax).elements() != count) {
    tensors.fail(f.absmax, fmt::format("{} scales of blocks of {}", count, f.block));
  }
  if (tensors.info(f.map).elements() != 16) tensors.fail(f.map, "16 values");
  w.parts = {f.weight, f.absmax, f.map, state};
  if (tensors.type(f.absmax) == "U8") {
    f.nested_absmax = tensors.require(name + ".nested_absmax", {"F32"});
    f.nested_map = tensors.require(name + ".nested_quant_map", {"F32"});
    f.nested_block = json_size(values, "nested_blocksize", 256);
    const auto offset = values.find("nested_offset");
    if (offset != values.end() && offset->is_number()) f.nested_offset = offset->get<float>();
    if (blocks(count, f.nested_block) == 0 ||
        tensors.info(*f.nested_absmax).elements() != blocks(count, f.nested_block) ||
        tensors.info(*f.nested_map).elements() != 256) {
      tensors.fail(*f.nested_absmax, "scales of the blocks of scales, and a map of 256 values");
    }
    w.parts.insert(w.parts.end(), {*f.nested_absmax, *f.nested_map});
  }
  w.name = name;
  w.dtype = f.dtype;
  w.type = json_text(values, "quant_type", "") == "fp4" ? "FP4 of bitsandbytes" : "NF4";
  w.load = [&tensors, f] { return load_four_bits(tensors, f); };
  return w;
}

QuantizedWeight eight_bits(const StoredTensors& tensors, const std::string& name, size_t scales) {
  const size_t weight = tensors.require(name, {"I8"});
  const TensorInfo& info = tensors.info(weight);
  tensors.require(tensors.info(scales).name, {"F32", "F16", "BF16"});
  if (info.shape.size() != 2 || tensors.info(scales).elements() != info.shape[0]) {
    tensors.fail(scales, fmt::format("one scale for each row of '{}'", printable(name)));
  }
  QuantizedWeight w;
  w.name = name;
  w.shape = info.shape;
  w.type = "LLM.int8";
  w.parts = {weight, scales};
  w.load = [&tensors, weight, scales, shape = rows_of(info.shape)]() -> DecodeRows {
    auto codes = std::make_shared<const Bytes>(tensors.bytes(weight));
    return [codes, shape, scale = tensors.floats(scales)](size_t row, MatrixView<float> out) {
      for (size_t r = 0; r < out.rows(); ++r) {
        const uint8_t* from = codes->data() + (row + r) * shape.cols;
        for (size_t i = 0; i < shape.cols; ++i) {
          out.row(r)[i] = static_cast<float>(static_cast<int8_t>(from[i])) * scale[row + r] * 7.874015718698502e-3f;
        }
      }
    };
  };
  return w;
}

}  // namespace

void find_bitsandbytes(const StoredTensors& tensors, const nlohmann::json& /*config*/,
                       std::vector<QuantizedWeight>* out) {
  for (size_t i = 0; i < tensors.all().size(); ++i) {
    const std::string& name = tensors.info(i).name;
    const size_t state = name.find(".quant_state.bitsandbytes__");
    if (state != std::string::npos) {
      out->push_back(four_bits(tensors, name.substr(0, state), i));
    } else if (const std::optional<std::string> base = without_ending(name, "SCB");
               base && !base->ends_with("weight.")) {
      out->push_back(eight_bits(tensors, *base + "weight", i));
      const std::optional<size_t> format = tensors.find(*base + "weight_format");
      if (format) out->back().parts.push_back(*format);
    } else if (name.ends_with(".absmax") && tensors.all().size() != 0) {
      const std::string weight = name.substr(0, name.size() - 7);
      if (!tensors.find(weight + ".quant_state.bitsandbytes__nf4") &&
          !tensors.find(weight + ".quant_state.bitsandbytes__fp4")) {
        tensors.fail(i, "the state of quantization of its weight beside it");
      }
    }
  }
}

}  // namespace occ
