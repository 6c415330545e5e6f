// Recipes of the tensors whose method has a fixed code width, in whole bits.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "compress/plan.h"

namespace occ {

// Widths that all those methods of the plan have; usage error if there are none.
struct CodeWidths {
  int least = 0, most = 16;
};
CodeWidths common_widths(const std::vector<PlannedTensor>& plan);

// At one width. Usage error if a method does not have it.
void set_width(std::vector<PlannedTensor>& plan, double bits);
// So that `file_bytes` (of the whole file with the recipes of the plan, exact or slightly too large) stays below the
// ceiling and comes as near to it as splitting rows between two widths allows. Usage error if that is out of reach.
void fit_widths(std::vector<PlannedTensor>& plan, uint64_t ceiling, const std::function<uint64_t()>& file_bytes);

}  // namespace occ
