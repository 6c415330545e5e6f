// Operators from the tree of a bound recipe; see tree.cc.
#pragma once

#include <memory>

#include "operators/operator.h"
#include "recipe/bound.h"

namespace occ {

// Takes the tree apart. `blob`, what the recipe decodes from, is kept only if something has to be decoded again and
// again; it may be null where the caller keeps it.
std::unique_ptr<Operator> make_tree(std::unique_ptr<BoundRecipe> recipe, const std::shared_ptr<const Bytes>& blob,
                                    bool transposed);

}  // namespace occ
