// The page of `occ analyze --report`: where another coordinate system saves bits, and whether it is flatness or
// concentration that saves them.
#pragma once

#include <span>
#include <string>

#include "compress/analysis.h"

namespace occ {

// Returns the page (report/html.h). `input` is the path that was analysed, `command` tells how to repeat it.
std::string analysis_page(std::span<const TensorAnalysis> tensors, const std::string& input,
                          const std::string& command);

}  // namespace occ
