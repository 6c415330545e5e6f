// Named methods. A method has parameters and turns a rate into a recipe. `occ methods` lists all methods.
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
  // For methods of fixed code width: the recipe at a whole number of bits per code. Other rates are reached by
  // splitting the rows between two widths.
  int min_bits = 1;
  int max_bits = 16;
  Recipe (*recipe)(const Params&, int bits) = nullptr;
  // For methods of continuous rate: the recipe at a step of the quantizer, in units of the rms of the values that it
  // codes, and at an effort from 1 to 9.
  Recipe (*recipe_at)(const Params&, double step, int effort) = nullptr;
  // Whether the transforms in front of that recipe are chosen for every tensor.
  bool chooses_coordinates = false;
  bool row_feedback = false;  // whether its quantizer uses FitContext::row_gains
  // For methods that have both: whether the rate is continuous with these parameters.
  bool (*continuous_with)(const Params&) = nullptr;
  // For methods of fixed code width with codebooks, in place of `recipe`: the recipe at any number of bits per weight,
  // which include all bytes of a tensor.
  Recipe (*recipe_of_budget)(const Params&, double bits) = nullptr;
  // For methods with a budget that have several forms: these, as text of methods with a budget. Where no parameter is
  // given, `compress` codes every tensor in the form of the least error (compress/forms.h).
  std::span<const std::string_view> forms = {};
};

// Returns the step at which an entropy-coded trellis takes about `bits` bits per Gaussian weight.
double trellis_step(double bits);
// The inverse of trellis_step, and the nmse at a step. The rate is linear in the logarithm of the step; it becomes
// negative at steps so long that nearly all codes are 0.
double trellis_rate(double step);
double trellis_nmse(double step);
// Returns the code of the method `trellis` at a step, as the text of a recipe. With states = 0 the stages keep their
// default numbers of states and tables, which suit small planes.
std::string trellis_code(double step, int64_t states = 0);
// Returns the number of trellis states for an effort from 1 to 9.
int trellis_states(int effort);

std::span<const MethodEntry> method_registry();
const MethodEntry* find_method(std::string_view name);

struct Method {
  const MethodEntry* entry = nullptr;
  Params params;

  // Parses text such as "rtn" or "rtn(group=64)". Usage error for unknown parameters and for unknown names; the latter
  // lists the known names.
  static Method parse(std::string_view text);
  std::string print() const { return std::string(entry->name) + params.print(); }
  bool continuous() const {
    return entry->recipe_at != nullptr && (entry->continuous_with == nullptr || entry->continuous_with(params));
  }
  // Whether `compress` chooses among the forms of the method.
  bool chooses_form() const;
  Recipe recipe(int bits) const {
    return entry->recipe != nullptr ? entry->recipe(params, bits) : entry->recipe_of_budget(params, bits);
  }
  Recipe recipe_at(double step, int effort) const { return entry->recipe_at(params, step, effort); }
  // Returns a recipe in which the first `head_rows` of `rows` rows take one more bit than the others. If that leaves
  // only one part, the recipe is not split. Neither is that of a method with a budget, which takes the same bits on
  // average.
  Recipe split_recipe(int bits, size_t head_rows, size_t rows) const;
};

}  // namespace occ
