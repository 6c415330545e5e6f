#include "report/units.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

namespace occ {

std::string human_bytes(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  size_t u = 0;
  for (; bytes >= 1000 && u < 4; ++u) bytes /= 1000;
  return u == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.{}f} {}", bytes, bytes < 100 ? 2 : 1, units[u]);
}

std::string human_count(double count) {
  const char* units[] = {"", " k", " M", " G", " T"};
  size_t u = 0;
  for (; count >= 1000 && u < 4; ++u) count /= 1000;
  return u == 0 ? fmt::format("{:.0f}", count) : fmt::format("{:.{}f}{}", count, count < 100 ? 2 : 1, units[u]);
}

std::string shape_label(const std::vector<uint64_t>& shape) {
  return shape.empty() ? "scalar" : fmt::format("{}", fmt::join(shape, "x"));
}

std::string number(double v, int digits) { return std::isnan(v) ? "-" : fmt::format("{:.{}g}", v, digits); }

}  // namespace occ
