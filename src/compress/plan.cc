#include "compress/plan.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/glob.h"
#include "compress/encode.h"

namespace occ {
namespace {

bool is_any(const std::string& name, std::initializer_list<const char*> patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const char* p) { return glob_match(p, name); });
}

constexpr uint64_t kLongVector = 1024;  // elements from which a code is smaller with all that it needs

// Why a tensor is kept unless asked otherwise; empty: it is coded. `only_vectors`: the file has nothing else.
std::string default_keep(const TensorInfo& t, bool only_vectors) {
  if (!is_float(t.dtype)) return "integers";
  if (t.elements() == 0) return "empty";
  if (t.shape.size() <= 1) {
    if (only_vectors && t.elements() >= kLongVector) return "";
    return t.shape.empty() ? "scalar" : "vector";
  }
  if (is_any(t.name, {"*norm*", "*.ln_?.*", "*layernorm*"})) return "norm";
  if (is_any(t.name, {"*.bias", "*_bias", "bias"})) return "bias";
  // Not what other models call a gate: routers have few rows.
  const bool flat = t.shape.size() == 2 && t.shape[0] < t.shape[1];
  if (flat && is_any(t.name, {"*.mlp.gate.weight", "*.block_sparse_moe.gate.weight", "*.ffn_gate_inp.weight"})) {
    return "router of experts";
  }
  return "";
}

void apply_spec(PlannedTensor& t, const std::string& spec, uint64_t seed) {
  t.method.reset();
  t.recipe.clear();
  t.note.clear();
  if (spec == "keep") {
    t.note = "asked";
  } else if (spec.find('>') != std::string::npos) {
    Recipe recipe = Recipe::parse(spec);
    recipe.set_seed(seed);
    t.recipe = recipe.print();
  } else {
    t.method = Method::parse(spec);
    t.seed = seed;
  }
}

// Recipes for `bits` everywhere and one more bit in the first `fraction` of each tensor's rows.
void set_recipes(std::vector<PlannedTensor>& plan, int bits, double fraction) {
  for (PlannedTensor& t : plan) {
    if (!t.method || t.continuous()) continue;
    const auto head = static_cast<size_t>(std::floor(fraction * static_cast<double>(t.shape.rows)));
    Recipe recipe = t.method->split_recipe(bits, head, t.shape.rows);
    recipe.set_seed(t.seed);
    t.recipe = recipe.print();
  }
}

}  // namespace

CodeWidths common_widths(const std::vector<PlannedTensor>& plan) {
  CodeWidths widths;
  for (const PlannedTensor& t : plan) {
    if (!t.method || t.continuous()) continue;
    widths.least = std::max(widths.least, t.method->entry->min_bits);
    widths.most = std::min(widths.most, t.method->entry->max_bits);
  }
  if (widths.least > widths.most) throw_usage("the methods asked for have no code width in common");
  return widths;
}

std::vector<PlannedTensor> plan_tensors(const TensorFile& source, const CompressOptions& options) {
  const std::string spec = options.recipe.empty() ? options.method : options.recipe;
  if (!options.recipe.empty() && spec.find('>') == std::string::npos) Recipe::parse(spec);  // tells what is missing
  const bool only_vectors = std::all_of(source.tensors().begin(), source.tensors().end(),
                                        [](const TensorInfo& t) { return t.shape.size() <= 1; });
  std::vector<bool> used(options.tensors.size() + options.keep.size());
  std::vector<PlannedTensor> plan;
  for (size_t i = 0; i < source.tensors().size(); ++i) {
    const TensorInfo& info = source.tensors()[i];
    PlannedTensor t;
    t.index = i;
    t.shape = matrix_shape(info.shape);
    apply_spec(t, spec, options.seed);
    if (const std::string why = default_keep(info, only_vectors); !why.empty()) {
      apply_spec(t, "keep", options.seed);
      t.note = why;
    }
    for (size_t k = 0; k < options.keep.size(); ++k) {
      if (!glob_match(options.keep[k], info.name)) continue;
      used[options.tensors.size() + k] = true;
      apply_spec(t, "keep", options.seed);
    }
    for (size_t k = 0; k < options.tensors.size(); ++k) {
      if (!glob_match(options.tensors[k].first, info.name)) continue;
      used[k] = true;
      if (!is_float(info.dtype) || info.elements() == 0) {
        if (options.tensors[k].second != "keep") t.note += ", cannot be coded";
        continue;
      }
      apply_spec(t, options.tensors[k].second, options.seed);
    }
    plan.push_back(std::move(t));
  }
  for (size_t k = 0; k < used.size(); ++k) {
    if (used[k]) continue;
    const bool spec_glob = k < options.tensors.size();
    throw_usage("{} '{}' matches no tensor of {}", spec_glob ? "--tensor" : "--keep",
                spec_glob ? options.tensors[k].first : options.keep[k - options.tensors.size()], source.path());
  }
  return plan;
}

void plan_fixed_bits(std::vector<PlannedTensor>& plan, double bits) {
  for (const PlannedTensor& t : plan) {
    if (!t.method || t.continuous()) continue;
    const MethodEntry& m = *t.method->entry;
    if ((bits != std::floor(bits) && m.recipe_of_budget == nullptr) || bits < m.min_bits || bits > m.max_bits) {
      throw_usage(
          "--bits: method '{}' has whole code widths from {} to {}, found {} (--ratio and --size meet rates between "
          "them)",
          m.name, m.min_bits, m.max_bits, bits);
    }
  }
  const double whole = std::floor(bits);
  set_recipes(plan, static_cast<int>(whole), bits - whole);
}

void plan_to_size(std::vector<PlannedTensor>& plan, uint64_t ceiling, const FileSize& file_size) {
  const bool any = std::any_of(plan.begin(), plan.end(), [](const PlannedTensor& t) { return t.method.has_value(); });
  const auto [least, most] = common_widths(plan);
  uint64_t bytes = 0;
  int bits = least - 1;  // the widest code that fits everywhere
  while (bits < most) {
    set_recipes(plan, bits + 1, 0);
    const uint64_t next = file_size(plan);
    if (next > ceiling) {
      if (bits < least || !any) {
        throw_usage("the size asked for, {} bytes, cannot be met: the smallest file of this method has {} bytes",
                    ceiling, next);
      }
      break;
    }
    bytes = next;
    ++bits;
    if (!any) return;
  }
  if (bits == most) return set_recipes(plan, bits, 0);
  // File size is nearly linear in the fraction of rows with one more bit: regula falsi from below, never above.
  double low = 0, high = 1;
  set_recipes(plan, bits + 1, 0);
  double low_bytes = static_cast<double>(bytes), high_bytes = static_cast<double>(file_size(plan));
  for (int i = 0; i < 24; ++i) {
    const double slope = (static_cast<double>(ceiling) - low_bytes) / (high_bytes - low_bytes);
    const double fraction = low + (high - low) * (i % 4 == 3 ? 0.5 : std::clamp(slope, 0.001, 0.999));
    set_recipes(plan, bits, fraction);
    const auto size = static_cast<double>(file_size(plan));
    if (size <= static_cast<double>(ceiling)) {
      low = fraction;
      low_bytes = size;
      if (size > static_cast<double>(ceiling) * 0.9995) break;
    } else {
      high = fraction;
      high_bytes = size;
    }
  }
  set_recipes(plan, bits, low);
}

}  // namespace occ
