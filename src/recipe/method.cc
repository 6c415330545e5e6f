#include "recipe/method.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace occ {
namespace {

constexpr std::array kRtnParams = {
    int_param("group", "0", 0, 65536, "columns per scale; 0: one scale per row"),
    choice_param("zero", "symmetric", "symmetric|asymmetric", "levels around zero, or an integer zero point"),
    choice_param("clip", "mse", "mse|absmax", "range of least squared error, or the largest magnitude"),
};

constexpr std::array kLloydParams = {
    int_param("group", "0", 0, 65536, "columns per scale; 0: one scale per row"),
    choice_param("codebook", "gaussian", "gaussian|fitted", "levels for N(0,1), or fitted to the tensor"),
};

// The stage `name` with the method's own parameters plus bits.
Recipe scalar_recipe(std::string_view stage, const Params& params, std::span<const ParamSpec> table, int bits) {
  std::string text = fmt::format("{}(bits={}", stage, bits);
  for (const ParamSpec& p : table) {
    const std::string value =
        p.type == ParamSpec::Type::kChoice ? params.choice(p.name) : fmt::format("{}", params.integer(p.name));
    text += fmt::format(", {}={}", p.name, value);
  }
  return Recipe::parse(text + ") > bitpack");
}

Recipe rtn_recipe(const Params& params, int bits) { return scalar_recipe("uniform", params, kRtnParams, bits); }
Recipe lloyd_recipe(const Params& params, int bits) { return scalar_recipe("lloyd", params, kLloydParams, bits); }

constexpr std::array kMethods = {
    MethodEntry{"rtn", "round to nearest on a uniform grid, scale per row or group",
                "Nagel et al. 2021, A White Paper on Neural Network Quantization", kRtnParams, 1, 16, rtn_recipe},
    MethodEntry{"lloyd", "Lloyd-Max scalar quantizer, scale per row or group",
                "Lloyd 1982; Max 1960, Quantizing for Minimum Distortion", kLloydParams, 1, 8, lloyd_recipe},
};

}  // namespace

std::span<const MethodEntry> method_registry() { return kMethods; }

const MethodEntry* find_method(std::string_view name) {
  const auto it = std::find_if(kMethods.begin(), kMethods.end(), [&](const MethodEntry& m) { return m.name == name; });
  return it == kMethods.end() ? nullptr : &*it;
}

Method Method::parse(std::string_view text) {
  const auto [name, given] = parse_call(text);
  const MethodEntry* entry = find_method(name);
  if (entry == nullptr) {
    std::string known;
    for (const MethodEntry& m : kMethods) known += fmt::format("{}{}", known.empty() ? "" : ", ", m.name);
    throw_usage("there is no method '{}', expected one of {}", name, known);
  }
  return {entry, Params(entry->params, given, name)};
}

Recipe Method::split_recipe(int bits, size_t head_rows, size_t rows) const {
  if (head_rows == 0) return recipe(bits);
  if (head_rows == rows) return recipe(bits + 1);
  return Recipe::parse(fmt::format("split(rows={}) > {{ head: {} ; tail: {} }}", head_rows, recipe(bits + 1).print(),
                                   recipe(bits).print()));
}

}  // namespace occ
