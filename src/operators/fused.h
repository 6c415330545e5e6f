// y = W x from integers that stay packed in RAM, with activations in int8; see fused.cc.
#pragma once

#include <memory>

#include "operators/operator.h"
#include "recipe/bound.h"

namespace occ {

// Null where the decoded values of the recipe are not of a form that the kernels take (IntegerView), or their integers
// are too large. Decodes all of it, once; does not refer to the recipe later.
std::unique_ptr<Operator> make_fused(const BoundRecipe& recipe, bool transposed);

}  // namespace occ
