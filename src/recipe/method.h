// Named methods: a preset with parameters that turns a rate into a recipe. `occ methods` lists them.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/params.h"
#include "recipe/recipe.h"

namespace occ {

struct MethodEntry {
  std::string_view name;
  std::string_view summary;
  std::string_view paper;
  std::span<const ParamSpec> params;
  // Methods of fixed code width: whole bits per code; other rates are met by splitting rows between two widths.
  int min_bits = 1;
  int max_bits = 16;
  Recipe (*recipe)(const Params&, int bits) = nullptr;
  // Methods of continuous rate instead: step of the quantizer in units of the rms of what it codes, effort 1 to 9.
  Recipe (*recipe_at)(const Params&, double step, int effort) = nullptr;
  bool chooses_coordinates = false;  // transforms in front of that recipe are chosen tensor by tensor
  bool row_feedback = false;         // its quantizer takes FitContext::row_gains
  // Where a method has both: whether the rate is continuous with these parameters.
  bool (*continuous_with)(const Params&) = nullptr;
  // Methods of fixed code width with codebooks, in place of `recipe`: all bytes of a tensor, any number of bits.
  Recipe (*recipe_of_budget)(const Params&, double bits) = nullptr;
};

// The step at which an entropy-coded trellis takes about `bits` per Gaussian weight.
double trellis_step(double bits);
// The reverse, a line that falls below 0 at steps that make nearly all codes 0; and the nmse at a step.
double trellis_rate(double step);
double trellis_nmse(double step);
// The code of method `trellis` at a step as the text of a recipe. states 0: as few states and tables as the stages have
// unless told otherwise, for small planes.
std::string trellis_code(double step, int64_t states = 0);
// States of the trellis that an effort from 1 to 9 stands for.
int trellis_states(int effort);

std::span<const MethodEntry> method_registry();
const MethodEntry* find_method(std::string_view name);

struct Method {
  const MethodEntry* entry = nullptr;
  Params params;

  // "rtn" or "rtn(group=64)". Usage error for unknown names (listing the known ones) or parameters.
  static Method parse(std::string_view text);
  std::string print() const { return std::string(entry->name) + params.print(); }
  bool continuous() const {
    return entry->recipe_at != nullptr && (entry->continuous_with == nullptr || entry->continuous_with(params));
  }
  Recipe recipe(int bits) const {
    return entry->recipe != nullptr ? entry->recipe(params, bits) : entry->recipe_of_budget(params, bits);
  }
  Recipe recipe_at(double step, int effort) const { return entry->recipe_at(params, step, effort); }
  // The first `head_rows` of `rows` rows with one more bit than the others; a plain recipe where that leaves one part,
  // and for a budget, which takes that many bits on average.
  Recipe split_recipe(int bits, size_t head_rows, size_t rows) const;
};

}  // namespace occ
