// Scales of the rows of a coded matrix, changed without coding it again.
#pragma once

#include <span>
#include <string>

#include "base/bytes.h"
#include "recipe/recipe.h"

namespace occ {

// Whether the outermost stage of the whole recipe has a stored scale for every row (TransformRoles::stores_row_scales).
bool has_row_scales(const Recipe& recipe);

// The blob of a recipe with row scales, those of row r times factors[r], rounded to stored scales; no other byte
// changes. Input error unless there is a scale for every factor. `what` names the source in errors.
Bytes with_scaled_rows(ByteSpan blob, std::span<const float> factors, const std::string& what);

}  // namespace occ
