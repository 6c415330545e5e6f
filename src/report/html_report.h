// A compression as one HTML page that needs no other file: totals, what was done differently than asked, bits and limit
// of every tensor as a plot and as a table.
#pragma once

#include <string>

#include "occ/compress.h"

namespace occ {

std::string html_report(const CompressReport& report, const std::string& input, const std::string& output);

}  // namespace occ
