// Sets the recipes of those tensors whose method has a fixed code width. Widths are whole bits.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "compress/plan.h"

namespace occ {

// Returns the widths that all these methods of the plan have. Usage error if there is no such width.
struct CodeWidths {
  int least = 0, most = 16;
};
CodeWidths common_widths(const std::vector<PlannedTensor>& plan);

// Gives all these tensors the same width. Usage error if a method does not have it.
void set_width(std::vector<PlannedTensor>& plan, double bits);
// Sets the widths such that the file stays below the ceiling and comes as near to it as possible; rows can be split
// between two widths. `file_bytes` returns the bytes of the whole file with the recipes of the plan, exactly or
// slightly too large. Usage error if no width is small enough.
void fit_widths(std::vector<PlannedTensor>& plan, uint64_t ceiling, const std::function<uint64_t()>& file_bytes);

}  // namespace occ
