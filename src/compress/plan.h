// The plan says for each tensor of an input whether it is kept, coded by a fixed recipe, or coded by a method at a rate
// that is still to be chosen.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/coordinates.h"
#include "occ/compress.h"
#include "recipe/method.h"
#include "tensor/tensor_file.h"

namespace occ {

inline constexpr const char* kAskedToKeep = "asked";  // the note of tensors that the user wants kept

struct PlannedTensor {
  size_t index = 0;                           // index in the source
  Shape shape;                                // shape of its matrix
  std::optional<Method> method;               // codes it at the rate of the run; RateControl then sets `recipe`
  uint64_t seed = 0;                          // seed for the recipes of that method
  std::string recipe;                         // canonical text; empty if the tensor is kept
  std::string note;                           // reason if it is kept
  double sensitivity = 1;                     // loss per weight and per unit of nmse, relative to other tensors
  Coordinates coordinates;                    // transforms and terms around the recipe of the method
  bool calibrated = false;                    // moments and row weights are known, which sets `coordinates`
  double step = 0;                            // the chosen step in units of the rms
  std::span<const std::string_view> forms{};  // methods among which `method` was chosen, if there was a choice
  double budget = 0;  // bits per weight of a method without continuous rate, on average over the rows

  // Returns the recipe of a method of continuous rate at its step. If only a part of the tensor is coded, `scale` is
  // the rms of the tensor over the rms of that part.
  std::string recipe_at(double scale, int effort) const;
  bool kept() const { return recipe.empty() && !method; }
  bool continuous() const { return method && method->continuous(); }
};

// Names tensor i of the source in messages, as in "model.safetensors: tensor 'w'".
std::string tensor_name(const TensorFile& source, size_t i);

// Makes the plan. By default vectors, scalars, integers, norms, biases and routers of experts are kept; options.tensors
// and options.keep override that. Usage error if a glob pattern matches nothing, or for a bad recipe or method.
std::vector<PlannedTensor> plan_tensors(const TensorFile& source, const CompressOptions& options);

}  // namespace occ
