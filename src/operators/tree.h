// Operators made of the tree of a bound recipe. tree.cc describes them.
#pragma once

#include <memory>

#include "operators/operator.h"
#include "recipe/bound.h"

namespace occ {

// The operator of a recipe. `blob`, the bytes that the recipe decodes from, is kept only if parts of it have to be
// decoded for every product; it may be null if the caller keeps the bytes.
std::unique_ptr<Operator> make_tree(std::unique_ptr<BoundRecipe> recipe, const std::shared_ptr<const Bytes>& blob,
                                    bool transposed);

}  // namespace occ
