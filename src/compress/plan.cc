#include "compress/plan.h"

#include <algorithm>

#include "base/error.h"
#include "base/glob.h"
#include "base/option_name.h"

namespace occ {
namespace {

bool is_any(const std::string& name, std::initializer_list<const char*> patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const char* p) { return glob_match(p, name); });
}

// Number of elements from which on the code of a vector is smaller than the vector.
constexpr uint64_t kLongVector = 1024;

// Returns why a tensor is kept if the options say nothing about it; empty: it is coded. `only_vectors`: the file has
// only vectors and scalars.
std::string default_keep(const TensorInfo& t, bool only_vectors) {
  if (!t.keep.empty()) return t.keep;
  if (!is_float(t.dtype)) return "integers";
  if (t.elements() == 0) return "empty";
  if (t.shape.size() <= 1) {
    if (only_vectors && t.elements() >= kLongVector) return "";
    return t.shape.empty() ? "scalar" : "vector";
  }
  if (is_any(t.name, {"*norm*", "*.ln_?.*", "*layernorm*"})) return "norm";
  if (is_any(t.name, {"*.bias", "*_bias", "bias"})) return "bias";
  // A router has few rows. Other models use the same name for a large matrix of the feed-forward network.
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
    t.note = kAskedToKeep;
  } else if (spec.find('>') != std::string::npos) {
    Recipe recipe = Recipe::parse(spec);
    recipe.set_seed(seed);
    t.recipe = recipe.print();
  } else {
    t.method = Method::parse(spec);
    t.seed = seed;
  }
}

}  // namespace

std::string PlannedTensor::recipe_at(double scale, int effort) const {
  return coordinates.around(method->recipe_at(coordinates.unit_rms ? step : step * scale, effort)).print();
}

std::string tensor_name(const TensorFile& source, size_t i) {
  return fmt::format("{}: tensor '{}'", source.path(), source.tensors()[i].name);
}

std::vector<PlannedTensor> plan_tensors(const TensorFile& source, const CompressOptions& options) {
  const std::string spec = options.recipe.empty() ? options.method : options.recipe;
  // Throws an error that tells what is missing.
  if (!options.recipe.empty() && spec.find('>') == std::string::npos) Recipe::parse(spec);
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
    throw_usage("{} '{}' matches no tensor of {}", option_name(spec_glob ? "tensor" : "keep"),
                spec_glob ? options.tensors[k].first : options.keep[k - options.tensors.size()], source.path());
  }
  return plan;
}

}  // namespace occ
