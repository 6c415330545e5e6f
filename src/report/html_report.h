// The report of a compression as one HTML page that needs no other file. It shows the totals, notes on everything that
// was done differently than asked, and the bits and the limit of every tensor as a plot and as a table.
#pragma once

#include <string>

#include "occ/compress.h"

namespace occ {

// Returns the page. `input` and `output` are the paths that it names.
std::string html_report(const CompressReport& report, const std::string& input, const std::string& output);

}  // namespace occ
