// AWQ (Lin et al. 2023, arXiv 2306.00978) as AutoAWQ stores it in its version "gemm".
//
//   w[o][i] = scales[g][o] (q[i][o] - z[g][o]), g = i / group_size
//   qweight [inputs, outputs / 8] i32, qzeros [groups, outputs / 8] i32, scales [groups, outputs]
//
// The eight codes of a word, from the lowest four bits on, are those of the outputs 0 2 4 6 1 3 5 7 of its eight.
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/json.h"
#include "io/quantized_formats.h"
#include "io/quantized_rows.h"

namespace occ {
namespace {

constexpr std::array<unsigned, 8> kPlaces = {0, 4, 1, 5, 2, 6, 3, 7};  // where output o of the eight stands

struct Awq {
  size_t weight, zeros, scales;
  size_t inputs = 0, outputs = 0, groups = 0, group_size = 0;
  DType dtype = DType::kF16;
};

uint32_t code_at(const Bytes& words, size_t row, size_t o, size_t outputs) {
  uint32_t word = 0;
  std::memcpy(&word, words.data() + row * outputs / 2 + o / 8 * 4, 4);
  return (word >> (4 * kPlaces[o % 8])) & 15;
}

DecodeRows load(const StoredTensors& tensors, const Awq& a) {
  GroupScales scales;
  scales.rows = a.outputs;
  scales.groups = a.groups;
  scales.group_size = a.group_size;
  scales.codes = 16;
  scales.scale = transposed_floats(tensors.floats(a.scales), a.groups, a.outputs);
  scales.zero.resize(a.outputs * a.groups);
  const Bytes zeros = tensors.bytes(a.zeros);
  for (size_t k = 0; k < a.groups; ++k) {
    for (size_t o = 0; o < a.outputs; ++o) {
      scales.zero[o * a.groups + k] = static_cast<float>(code_at(zeros, k, o, a.outputs));
    }
  }
  auto words = std::make_shared<const Bytes>(tensors.bytes(a.weight));
  return [a, scales = std::make_shared<const GroupScales>(std::move(scales)), words](size_t row,
                                                                                     MatrixView<float> out) {
    const CodeValues values = unsigned_values();
    std::vector<uint8_t> codes(8 * a.inputs);
    std::vector<uint32_t> column_words(a.inputs);
    for (size_t r = row; r < row + out.rows();) {
      const size_t first = r % 8, count = std::min(8 - first, row + out.rows() - r);  // outputs of one column of words
      const uint8_t* column = words->data() + r / 8 * 4;
      for (size_t i = 0; i < a.inputs; ++i) {
        std::memcpy(&column_words[i], column + i * a.outputs / 2, 4);
      }
      for (size_t o = 0; o < count; ++o) {
        const unsigned shift = 4 * kPlaces[first + o];
        uint8_t* to = codes.data() + o * a.inputs;
        for (size_t i = 0; i < a.inputs; ++i) to[i] = static_cast<uint8_t>((column_words[i] >> shift) & 15);
      }
      for (size_t o = 0; o < count; ++o, ++r) {
        scale_row(*scales, r, codes.data() + o * a.inputs, a.inputs, values, a.dtype, out.row(r - row));
      }
    }
  };
}

}  // namespace

void find_awq(const StoredTensors& tensors, const nlohmann::json& config, std::vector<QuantizedWeight>* out) {
  const std::string version = json_text(config, "version", "gemm");
  const size_t bits = json_size(config, config.contains("w_bit") ? "w_bit" : "bits", 4);
  if ((version != "gemm" && version != "GEMM") || bits != 4) {
    throw_input("{}: quantization_config: AWQ version '{}' of {} bits is not supported, expected gemm of 4 bits",
                tensors.folder().path(), printable(version, 40), bits);
  }
  for (const TensorInfo& info : tensors.all()) {
    const std::optional<std::string> base = without_ending(info.name, "qweight");
    if (!base) continue;
    Awq a;
    a.weight = tensors.require(*base + "qweight", {"I32", "U32"});
    a.zeros = tensors.require(*base + "qzeros", {"I32", "U32"});
    a.scales = tensors.require(*base + "scales", {"F16", "BF16", "F32"});
    const auto& scales = tensors.info(a.scales).shape;
    if (info.shape.size() != 2 || scales.size() != 2 || info.shape[1] * 8 != scales[1] || scales[0] == 0 ||
        info.shape[0] % scales[0] != 0 || info.shape[0] == 0) {
      tensors.fail(a.weight, "[inputs, outputs / 8] for scales of [groups, outputs]");
    }
    a.inputs = info.shape[0];
    a.outputs = scales[1];
    a.groups = scales[0];
    a.group_size = a.inputs / a.groups;
    if (tensors.info(a.zeros).shape != std::vector<uint64_t>{a.groups, a.outputs / 8}) {
      tensors.fail(a.zeros, "one zero point for every scale");
    }
    a.dtype = tensors.info(a.scales).dtype;
    QuantizedWeight w;
    w.name = *base + "weight";
    w.shape = {a.outputs, a.inputs};
    w.dtype = a.dtype;
    w.type = "AWQ of 4 bits";
    w.parts = {a.weight, a.zeros, a.scales};
    w.rows_together = 64;
    w.load = [&tensors, a] { return load(tensors, a); };
    out->push_back(std::move(w));
  }
}

}  // namespace occ
