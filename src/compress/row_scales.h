// Changes the scales of the rows of a coded matrix without coding it again.
#pragma once

#include <span>
#include <string>

#include "base/bytes.h"
#include "recipe/recipe.h"

namespace occ {

// Whether the outermost stage of the whole recipe has a stored scale for every row (TransformRoles::scale_rows).
bool has_row_scales(const Recipe& recipe);

// Returns a blob in which the stored scale of row r is multiplied by factors[r] and rounded to a value that can be
// stored. No other value changes. The blob does not get longer: if it would, the largest changes are left out. `blob`
// must have row scales. Input error if their number differs from that of the factors. `what` names the source in
// errors.
Bytes with_scaled_rows(const Recipe& recipe, ByteSpan blob, std::span<const float> factors, const std::string& what);

}  // namespace occ
