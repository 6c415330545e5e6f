// What is done with each tensor of an input: kept, coded by a fixed recipe, or coded by a method at a rate to be
// chosen.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "occ/compress.h"
#include "recipe/method.h"
#include "tensor/tensor_file.h"

namespace occ {

struct PlannedTensor {
  size_t index = 0;              // in the source
  Shape shape;                   // of its matrix
  std::optional<Method> method;  // at the rate of the run; `recipe` is then filled in by RateControl
  uint64_t seed = 0;             // for the recipes of that method
  std::string recipe;            // canonical; empty: kept
  std::string note;              // why it is kept
  double sensitivity = 1;        // loss per weight and unit of nmse
  std::string coordinates;       // chosen transforms: the beginning of the recipe
  bool calibrated = false;       // moments and weights of its rows are known: `coordinates` are given
  double step_factor = 1;        // of the step behind them
  double step = 0;               // chosen, in units of the rms
  std::string choice;            // why

  bool kept() const { return recipe.empty() && !method; }
  bool continuous() const { return method && method->continuous(); }
};

// Applies options.tensors and options.keep over the defaults: vectors, scalars, integers, norms, biases and
// routers of experts are kept.
// Usage errors: a glob that matches nothing, a bad recipe or method.
std::vector<PlannedTensor> plan_tensors(const TensorFile& source, const CompressOptions& options);

// Widths that all methods of fixed code width in the plan have; usage error if there are none.
struct CodeWidths {
  int least = 0, most = 16;
};
CodeWidths common_widths(const std::vector<PlannedTensor>& plan);
// Fill in the recipes of the tensors with a method of fixed code width: at one width, or so that `file_size` (of the
// whole file, exact or slightly too large) stays below the ceiling and comes as near to it as splitting rows between
// two widths allows. Usage error if the rate is out of reach.
using FileSize = std::function<uint64_t(const std::vector<PlannedTensor>&)>;
void plan_fixed_bits(std::vector<PlannedTensor>& plan, double bits);
void plan_to_size(std::vector<PlannedTensor>& plan, uint64_t ceiling, const FileSize& file_size);

}  // namespace occ
