// Parses numbers of bytes as users write them.
#pragma once

#include <cctype>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <utility>

namespace occ {

// Parses "1000", "45M" or "45 MB" (10^6 bytes), "1.5GiB" (2^30 bytes), in upper or lower case. The number must be at
// least 1 and below 2^62 bytes. Returns nothing for any other text.
inline std::optional<uint64_t> parse_byte_count(const std::string& text) {
  size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    return std::nullopt;
  }
  std::string unit;
  for (const char c : text.substr(used)) {
    if (c != ' ') unit += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  const std::pair<const char*, double> units[] = {
      {"", 1},     {"b", 1},    {"k", 1e3},   {"kb", 1e3},     {"m", 1e6},         {"mb", 1e6},          {"g", 1e9},
      {"gb", 1e9}, {"t", 1e12}, {"tb", 1e12}, {"kib", 1024.0}, {"mib", 1048576.0}, {"gib", 1073741824.0}};
  for (const auto& [name, factor] : units) {
    const double bytes = value * factor;
    if (unit == name && bytes >= 1 && bytes < 0x1p62) return static_cast<uint64_t>(bytes);
  }
  return std::nullopt;
}

}  // namespace occ
