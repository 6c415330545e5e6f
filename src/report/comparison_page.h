// The page of `occ compare --report`: what the tensors of a file take and lose against those of another one.
#pragma once

#include <string>

#include "report/comparison.h"

namespace occ {

// Returns the page (report/html.h). `a` is the reference, `command` repeats the comparison.
std::string comparison_page(const Comparison& comparison, const TensorFile& a, const TensorFile& b,
                            const std::string& command);

}  // namespace occ
