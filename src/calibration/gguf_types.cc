#include "calibration/gguf_types.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "model/convert.h"
#include "quantization/ggml_types.h"

namespace occ {
namespace {

constexpr GgufMixture kMixtures[] = {
    {"Q4_0", "Q4_0", "Q4_0", "Q6_K", false, 2},        {"Q4_1", "Q4_1", "Q4_1", "Q6_K", false, 3},
    {"Q8_0", "Q8_0", "Q8_0", "Q8_0", false, 7},        {"Q5_0", "Q5_0", "Q5_0", "Q6_K", false, 8},
    {"Q5_1", "Q5_1", "Q5_1", "Q6_K", false, 9},        {"Q2_K", "Q2_K", "Q3_K", "Q6_K", true, 10},
    {"Q3_K_S", "Q3_K", "Q3_K", "Q6_K", false, 11},     {"Q3_K_M", "Q3_K", "Q4_K", "Q6_K", true, 12},
    {"Q3_K_L", "Q3_K", "Q5_K", "Q6_K", true, 13},      {"Q4_K_S", "Q4_K", "Q4_K", "Q6_K", false, 14},
    {"Q4_K_M", "Q4_K", "Q6_K", "Q6_K", false, 15},     {"Q5_K_S", "Q5_K", "Q5_K", "Q6_K", false, 16},
    {"Q5_K_M", "Q5_K", "Q6_K", "Q6_K", false, 17},     {"Q6_K", "Q6_K", "Q6_K", "Q6_K", false, 18},
    {"IQ4_NL", "IQ4_NL", "IQ4_NL", "Q6_K", false, 25},
};

std::string upper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::toupper(c); });
  return out;
}

// The layer of "blk.3.attn_v.weight"; nothing for tensors outside layers.
std::optional<size_t> layer_of(const std::string& name) {
  if (!name.starts_with("blk.") || name.size() < 5 || name[4] < '0' || name[4] > '9') return std::nullopt;
  return std::stoul(name.substr(4, 9));
}

// The first and the last eighth of the layers, and every third of the others (use_more_bits of llama.cpp).
bool is_important_layer(size_t layer, size_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

// The type for rows that have no whole super-blocks of 256.
std::string_view without_super_blocks(std::string_view type) {
  if (type == "Q2_K" || type == "Q3_K") return "IQ4_NL";
  if (type == "Q4_K") return "Q5_0";
  if (type == "Q5_K") return "Q5_1";
  return "Q8_0";
}

// Matrices that llama-quantize leaves as they are, because they are small or no weights of linear layers.
constexpr std::string_view kLeftAlone[] = {"altup",
                                           "laurel",
                                           "per_layer_model_proj",
                                           "ssm_conv1d.weight",
                                           "shortconv.conv.weight",
                                           "time_mix_first.weight",
                                           "time_mix_w0.weight",
                                           "time_mix_w1.weight",
                                           "time_mix_w2.weight",
                                           "time_mix_v0.weight",
                                           "time_mix_v1.weight",
                                           "time_mix_v2.weight",
                                           "time_mix_a0.weight",
                                           "time_mix_a1.weight",
                                           "time_mix_a2.weight",
                                           "time_mix_g1.weight",
                                           "time_mix_g2.weight",
                                           "time_mix_decay_w1.weight",
                                           "time_mix_decay_w2.weight",
                                           "time_mix_lerp_fused.weight",
                                           "attn_rel_b.weight",
                                           ".position_embd."};

// Whether this is a matrix that llama-quantize changes.
bool is_weight(const TensorInfo& t) {
  const auto in_name = [&](std::string_view part) { return t.name.find(part) != std::string::npos; };
  return t.shape.size() >= 2 && is_float(t.dtype) && t.name.ends_with(".weight") && !is_f32_in_gguf(t) &&
         std::none_of(std::begin(kLeftAlone), std::end(kLeftAlone), in_name);
}

}  // namespace

std::vector<std::string> gguf_mixture_names() {
  std::vector<std::string> names;
  for (const GgufMixture& m : kMixtures) names.emplace_back(m.name);
  return names;
}

const GgufMixture& find_gguf_mixture(std::string_view name) {
  for (const GgufMixture& m : kMixtures) {
    if (m.name == upper(name)) return m;
  }
  throw_usage("there is no GGUF type '{}' that can be written, expected one of {}", name,
              fmt::join(gguf_mixture_names(), ", "));
}

DType gguf_float_type(const TensorInfo& t) {
  if (is_f32_in_gguf(t)) return DType::kF32;
  return is_weight(t) ? DType::kF16 : t.dtype;
}

std::vector<std::string> gguf_tensor_types(const GgufMixture& mixture, const std::vector<TensorInfo>& tensors) {
  size_t layers = 0;
  bool head = false;
  for (const TensorInfo& t : tensors) {
    layers = std::max(layers, layer_of(t.name).value_or(0) + 1);
    head |= t.name == "output.weight";
  }
  std::vector<std::string> types;
  for (const TensorInfo& t : tensors) {
    if (!is_weight(t) || t.elements() == 0 || t.shape.back() % 32 != 0) {
      types.emplace_back();
      continue;
    }
    std::string_view type = mixture.base;
    const std::optional<size_t> layer = layer_of(t.name);
    const auto is = [&](const char* part) { return t.name.find(part) != std::string::npos; };
    const bool matters = is("attn_v") || is("attn_qkv") || is("ffn_down");
    if (t.name == "output.weight" || (t.name == "token_embd.weight" && !head)) {
      type = mixture.table;
    } else if (layer && mixture.better_everywhere && (matters || is("attn_output"))) {
      type = mixture.better;
    } else if (layer && matters && is_important_layer(*layer, layers)) {
      type = mixture.better;
    }
    if (t.shape.back() % ggml_type(type).super != 0) type = without_super_blocks(type);
    types.emplace_back(type);
  }
  return types;
}

}  // namespace occ
