// GPTQ (Frantar et al. 2022, arXiv 2210.17323) as AutoGPTQ and GPTQModel store it, and AutoRound in the same form.
//
//   w[o][i] = scales[g(i)][o] (q[i][o] - z[g(i)][o])
//   qweight [inputs * bits / 32, outputs] i32: the codes of an output, dense from the lowest bits on
//   qzeros [groups, outputs * bits / 32] i32, scales [groups, outputs], g_idx [inputs] i32: the group of an input
//
// The form "gptq" stores z - 1 modulo 2^bits, "gptq_v2" z. Without g_idx, group g has the inputs from g group_size on.
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/json.h"
#include "io/quantized_formats.h"
#include "io/quantized_rows.h"

namespace occ {
namespace {

constexpr size_t kPanelRows = 16;  // outputs that are unpacked together: one line of the cache

struct Gptq {
  size_t weight, zeros, scales;
  std::optional<size_t> group_index;
  size_t inputs = 0, outputs = 0, groups = 0, group_size = 0, zero_words = 0;
  unsigned bits = 4;
  bool adds_one = true;
  DType dtype = DType::kF16;
};

// The eight codes of four bits of a word as bytes.
uint64_t spread_halves(uint64_t word) {
  word = (word | (word << 16)) & 0x0000ffff0000ffff;
  word = (word | (word << 8)) & 0x00ff00ff00ff00ff;
  return (word | (word << 4)) & 0x0f0f0f0f0f0f0f0f;
}

DecodeRows load(const StoredTensors& tensors, const Gptq& g) {
  GroupScales scales;
  scales.rows = g.outputs;
  scales.groups = g.groups;
  scales.group_size = g.group_size;
  scales.codes = size_t{1} << g.bits;
  scales.scale = transposed_floats(tensors.floats(g.scales), g.groups, g.outputs);
  scales.zero.resize(g.outputs * g.groups);
  const Bytes zeros = tensors.bytes(g.zeros);
  for (size_t k = 0; k < g.groups; ++k) {
    for (size_t o = 0; o < g.outputs; ++o) {
      float& zero = scales.zero[o * g.groups + k];
      if ((o + 1) * g.bits > g.zero_words * 32) {
        zero = static_cast<float>(1u << (g.bits - 1));
      } else {
        const uint32_t z = packed_code(zeros.data() + k * g.zero_words * 4, 1, o, g.bits);
        zero = static_cast<float>((z + (g.adds_one ? 1 : 0)) & ((1u << g.bits) - 1));
      }
    }
  }
  if (g.group_index) {
    for (const float v : tensors.floats(*g.group_index)) {
      if (!(v >= 0 && v < static_cast<float>(g.groups))) {
        tensors.fail(*g.group_index, fmt::format("numbers of groups below {}", g.groups));
      }
      scales.group_of.push_back(static_cast<uint32_t>(v));
    }
    // Most files list the groups in their order, which is faster to decode.
    bool in_order = true;
    for (size_t i = 0; i < g.inputs && in_order; ++i) in_order = scales.group_of[i] == i / g.group_size;
    if (in_order) scales.group_of.clear();
  }
  auto words = std::make_shared<const Bytes>(tensors.bytes(g.weight));
  return [g, scales = std::make_shared<const GroupScales>(std::move(scales)), words](size_t row,
                                                                                     MatrixView<float> out) {
    const CodeValues values = unsigned_values();
    std::vector<uint8_t> codes(kPanelRows * g.inputs);
    const unsigned per_word = 32 / g.bits, mask = (1u << g.bits) - 1;
    for (size_t first = 0; first < out.rows(); first += kPanelRows) {
      const size_t count = std::min(kPanelRows, out.rows() - first);
      const uint8_t* column = words->data() + (row + first) * 4;
      if (32 % g.bits == 0) {
        for (size_t w = 0; w < g.inputs / per_word; ++w) {
          for (size_t o = 0; o < count; ++o) {
            uint32_t word = 0;
            std::memcpy(&word, column + (w * g.outputs + o) * 4, 4);
            uint8_t* to = codes.data() + o * g.inputs + w * per_word;
            if (g.bits == 4) {
              const uint64_t bytes = spread_halves(word);
              std::memcpy(to, &bytes, sizeof(bytes));
              continue;
            }
            for (unsigned k = 0; k < per_word; ++k) to[k] = static_cast<uint8_t>((word >> (k * g.bits)) & mask);
          }
        }
      } else {
        for (size_t o = 0; o < count; ++o) {
          for (size_t i = 0; i < g.inputs; ++i) {
            codes[o * g.inputs + i] = static_cast<uint8_t>(packed_code(column + o * 4, g.outputs, i, g.bits));
          }
        }
      }
      for (size_t o = 0; o < count; ++o) {
        scale_row(*scales, row + first + o, codes.data() + o * g.inputs, g.inputs, values, g.dtype, out.row(first + o));
      }
    }
  };
}

Gptq describe(const StoredTensors& tensors, const nlohmann::json& config, const std::string& base) {
  Gptq g;
  g.weight = tensors.require(base + "qweight", {"I32", "U32"});
  g.zeros = tensors.require(base + "qzeros", {"I32", "U32"});
  g.scales = tensors.require(base + "scales", {"F16", "BF16", "F32"});
  g.group_index = tensors.find(base + "g_idx");
  if (g.group_index) tensors.require(base + "g_idx", {"I32"});
  const std::string format = json_text(config, "checkpoint_format", "gptq");
  if ((format != "gptq" && format != "gptq_v2") || json_flag(config, "is_marlin_format")) {
    tensors.fail(g.weight, fmt::format("checkpoint_format gptq or gptq_v2, not {}", printable(format, 40)));
  }
  g.adds_one = format == "gptq";
  const auto& weight = tensors.info(g.weight).shape;
  const auto& scales = tensors.info(g.scales).shape;
  if (weight.size() != 2 || scales.size() != 2 || weight[1] != scales[1] || scales[0] == 0 || weight[0] == 0) {
    tensors.fail(g.weight, "a matrix with the columns of its scales");
  }
  g.outputs = weight[1];
  g.groups = scales[0];
  // Single modules may have another width than the configuration says; g_idx knows the number of inputs.
  const size_t bits = json_size(config, "bits", 4);
  g.inputs = g.group_index ? tensors.info(*g.group_index).elements() : bits == 0 ? 0 : weight[0] * 32 / bits;
  if (g.inputs == 0 || weight[0] * 32 % g.inputs != 0) tensors.fail(g.weight, "whole words of codes");
  g.bits = static_cast<unsigned>(weight[0] * 32 / g.inputs);
  if (g.bits != 2 && g.bits != 3 && g.bits != 4 && g.bits != 8) {
    tensors.fail(g.weight, fmt::format("codes of 2, 3, 4 or 8 bits, not {}", g.bits));
  }
  // Symmetric ones are all alike, so those of the last outputs may be missing where they do not fill a word.
  const auto& zeros = tensors.info(g.zeros).shape;
  g.zero_words = zeros.empty() ? 0 : zeros.back();
  const size_t least = json_flag(config, "sym") ? g.outputs * g.bits / 32 : (g.outputs * g.bits + 31) / 32;
  if (zeros.size() != 2 || zeros[0] != g.groups || g.zero_words < least || g.zero_words > least + 1) {
    tensors.fail(g.zeros, "one zero point for every scale");
  }
  const auto size = config.find("group_size");
  const bool given = size != config.end() && size->is_number_unsigned() && size->get<uint64_t>() > 0;
  g.group_size = given && (g.inputs - 1) / size->get<uint64_t>() + 1 == g.groups ? size->get<uint64_t>()
                                                                                 : (g.inputs - 1) / g.groups + 1;
  if (!g.group_index && (g.inputs - 1) / g.group_size + 1 != g.groups) {
    tensors.fail(g.scales, fmt::format("one row of scales for each group of {} inputs", g.inputs));
  }
  g.dtype = tensors.info(g.scales).dtype;
  return g;
}

}  // namespace

void find_gptq(const StoredTensors& tensors, const nlohmann::json& config, std::vector<QuantizedWeight>* out) {
  for (const TensorInfo& info : tensors.all()) {
    const std::optional<std::string> base = without_ending(info.name, "qweight");
    if (!base) continue;
    const Gptq g = describe(tensors, config, *base);
    QuantizedWeight w;
    w.name = *base + "weight";
    w.shape = {g.outputs, g.inputs};
    w.dtype = g.dtype;
    w.type = fmt::format("GPTQ of {} bits", g.bits);
    if (g.zero_words * 32 < g.outputs * g.bits) w.type += " with zero points missing, which are symmetric";
    w.parts = {g.weight, g.zeros, g.scales};
    if (g.group_index) w.parts.push_back(*g.group_index);
    w.rows_together = kPanelRows;
    w.load = [&tensors, g] { return load(tensors, g); };
    out->push_back(std::move(w));
  }
}

void find_auto_round(const StoredTensors& tensors, const nlohmann::json& config, std::vector<QuantizedWeight>* out) {
  const std::string packing = json_text(config, "packing_format", "");
  if (packing == "auto_round:auto_awq" || packing == "auto_round:awq") return find_awq(tensors, config, out);
  if (packing != "auto_round:auto_gptq" && packing != "auto_round:gptq") {
    throw_input(
        "{}: quantization_config: packing_format '{}' is not supported, expected auto_round:auto_gptq or "
        "auto_round:auto_awq",
        tensors.folder().path(), printable(packing, 40));
  }
  find_gptq(tensors, config, out);
}

}  // namespace occ
