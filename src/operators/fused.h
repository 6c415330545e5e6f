// Operators on integers that stay packed in RAM, with activations in int8. fused.cc describes them.
#pragma once

#include <memory>

#include "operators/operator.h"
#include "recipe/bound.h"

namespace occ {

// The operator of a recipe, or null if its decoded values do not have the form that the kernels need (IntegerView) or
// their integers are too large. Decodes the recipe once and does not refer to it later. transposed: the recipe decodes
// to W^T.
std::unique_ptr<Operator> make_fused(const BoundRecipe& recipe, bool transposed);

}  // namespace occ
