#include <cstdio>

#include "base/error.h"
#include "cli/cli.h"
#include "entropy/coder.h"
#include "quantization/quantizer.h"
#include "recipe/method.h"
#include "transforms/transform.h"

namespace occ {
namespace {

using nlohmann::ordered_json;

struct StageRow {
  std::string_view kind, name, summary;
  std::span<const ParamSpec> params;
  bool needs_blas;
};

std::vector<StageRow> all_stages() {
  std::vector<StageRow> rows;
  for (const TransformEntry& e : transform_registry()) {
    rows.push_back({"transform", e.name, e.summary, e.params, transform_fit_needs_blas(e.name)});
  }
  for (const QuantizerEntry& e : quantizer_registry()) {
    rows.push_back({"quantizer", e.name, e.summary, e.params, quantizer_fit_needs_blas(e.name)});
  }
  for (const CoderEntry& e : coder_registry()) rows.push_back({"coder", e.name, e.summary, e.params, false});
  return rows;
}

bool needs_blas(const Recipe& recipe) {
  for (const Chain& chain : recipe.terms) {
    for (const Stage& s : chain.stages) {
      if (transform_fit_needs_blas(s.name) || quantizer_fit_needs_blas(s.name)) return true;
    }
    for (const Branch& b : chain.branches) {
      if (needs_blas(b.recipe)) return true;
    }
  }
  return false;
}

BitsAre bits_are(const Method& method) {
  if (method.continuous()) return BitsAre::kCeiling;
  return method.entry->recipe_of_budget != nullptr ? BitsAre::kBudget : BitsAre::kWidth;
}

Method by_default(const MethodEntry& m) { return {&m, Params(m.params)}; }

std::string bits_text(const MethodEntry& m) {
  switch (bits_are(by_default(m))) {
    case BitsAre::kCeiling:
      return "most bits per weight of the whole file";
    case BitsAre::kBudget:
      return "bits per weight of a tensor, codebooks included; kept tensors and the header come on top";
    case BitsAre::kWidth:
      break;
  }
  return fmt::format(
      "width of a code, {} to {}; scales, kept tensors and the header come on top{}", m.min_bits, m.max_bits,
      m.recipe_at != nullptr ? " (with quantizer=trellis the most bits per weight of the whole file)" : "");
}

Recipe recipe_at_4_bits(const MethodEntry& m) {
  const Method method = by_default(m);
  return method.continuous() ? method.recipe_at(trellis_step(4), kDefaultEffort) : method.recipe(4);
}

// A method that chooses coordinates may choose the stages pca or lowrank, which need BLAS.
bool needs_blas(const MethodEntry& m) { return m.chooses_coordinates || needs_blas(recipe_at_4_bits(m)); }

std::string range_text(const ParamSpec& p) {
  return p.type == ParamSpec::Type::kChoice ? std::string(p.choices) : fmt::format("{} .. {}", p.min, p.max);
}

ordered_json params_json(std::span<const ParamSpec> params) {
  ordered_json out = ordered_json::array();
  for (const ParamSpec& p : params) {
    out.push_back({{"name", p.name}, {"default", p.default_value}, {"range", range_text(p)}, {"help", p.help}});
  }
  return out;
}

void print_params(std::span<const ParamSpec> params) {
  for (const ParamSpec& p : params) {
    std::puts(fmt::format("      {}={}  ({}) {}", p.name, p.default_value, range_text(p), p.help).c_str());
  }
}

void run(bool json) {
  const std::vector<StageRow> stages = all_stages();
  if (json) {
    ordered_json methods = ordered_json::array(), list = ordered_json::array();
    for (const MethodEntry& m : method_registry()) {
      const Recipe recipe = recipe_at_4_bits(m);
      methods.push_back({{"name", m.name},
                         {"summary", m.summary},
                         {"paper", m.paper},
                         {"parameters", params_json(m.params)},
                         {"bits", bits_text(m)},
                         {"recipe_at_4_bits", recipe.print()},
                         {"needs_blas", needs_blas(m)}});
    }
    for (const StageRow& s : stages) {
      list.push_back({{"kind", s.kind},
                      {"name", s.name},
                      {"summary", s.summary},
                      {"parameters", params_json(s.params)},
                      {"needs_blas", s.needs_blas}});
    }
    return print_json({{"methods", methods}, {"stages", list}});
  }
  std::puts(
      "Methods (--method NAME or NAME(key=value, ...)). --bits means different things to them: compare files of one "
      "--size.");
  for (const MethodEntry& m : method_registry()) {
    const Recipe recipe = recipe_at_4_bits(m);
    std::puts(fmt::format("\n  {:<10} {}\n             {}", m.name, m.summary, m.paper).c_str());
    std::puts(fmt::format("             --bits: {}", bits_text(m)).c_str());
    std::puts(fmt::format("             at 4 bits: {}", recipe.print()).c_str());
    if (needs_blas(m)) std::puts("             its encoder needs BLAS: bytes may differ between CPU types");
    print_params(m.params);
  }
  std::puts("\nStages (--recipe 'transform > ... > quantizer > coder', '+' codes the residual):");
  std::string_view kind;
  for (const StageRow& s : stages) {
    if (s.kind != kind) std::puts(fmt::format("\n  {}s", kind = s.kind).c_str());
    std::puts(fmt::format("    {:<10} {}{}", s.name, s.summary, s.needs_blas ? " (encoder needs BLAS)" : "").c_str());
    print_params(s.params);
  }
}

}  // namespace

std::string methods_whose_bits_are(BitsAre what) {
  std::vector<std::string_view> names;
  for (const MethodEntry& m : method_registry()) {
    if (bits_are(by_default(m)) == what) names.push_back(m.name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

void add_methods(CLI::App& app, const Globals&) {
  CLI::App* cmd = app.add_subcommand("methods", "List the methods and stages with their parameters");
  auto json = std::make_shared<bool>(false);
  cmd->add_flag("--json", *json, "One JSON document on stdout");
  cmd->callback([json] { run(*json); });
}

}  // namespace occ
