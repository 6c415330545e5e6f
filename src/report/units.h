// How numbers are written for people, in tables and on pages.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace occ {

std::string human_bytes(double bytes);                        // as in "44.9 MB"
std::string human_count(double count);                        // as in "13.4 M"
std::string shape_label(const std::vector<uint64_t>& shape);  // as in "576x1536"
std::string number(double v, int digits = 4);                 // `digits` significant digits, "inf", or "-" for NaN

}  // namespace occ
