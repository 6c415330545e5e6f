// The report of a compression as one HTML page that needs no other file: size, ratio and loss, notes on everything that
// was done differently than asked, figures about all tensors, and a table of them.
#pragma once

#include <string>

#include "occ/compress.h"

namespace occ {

// Returns the page. `input` and `output` are the paths that it names, `command` repeats the run.
std::string html_report(const CompressReport& report, const std::string& input, const std::string& output,
                        const std::string& command);

}  // namespace occ
