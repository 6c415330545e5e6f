#include "base/lines.h"

#include <sstream>

#include "base/file.h"

namespace occ {

std::vector<std::string> read_lines(const std::filesystem::path& path) {
  const Bytes bytes = read_file(path);
  std::istringstream in(std::string(bytes.begin(), bytes.end()));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (lines.empty() && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace occ
