// What is done with each tensor of an input: kept, coded by a fixed recipe, or coded by a method at a rate to be
// chosen.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compress/coordinates.h"
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
  Coordinates coordinates;       // around the method's own recipe
  bool calibrated = false;       // moments and weights of its rows are known: `coordinates` are given
  double step = 0;               // chosen, in units of the rms

  // The recipe of a method of continuous rate at its step. `scale`: rms of the tensor over the rms of the values that
  // are coded, if they are a part of it.
  std::string recipe_at(double scale, int effort) const;
  bool kept() const { return recipe.empty() && !method; }
  bool continuous() const { return method && method->continuous(); }
};

// Tensor i of the source, for messages: "model.safetensors: tensor 'w'".
std::string tensor_name(const TensorFile& source, size_t i);

// What options.tensors and options.keep say counts more than the default, by which vectors, scalars, integers, norms,
// biases and routers of experts are kept. Usage errors: a glob that matches nothing, a bad recipe or method.
std::vector<PlannedTensor> plan_tensors(const TensorFile& source, const CompressOptions& options);

}  // namespace occ
