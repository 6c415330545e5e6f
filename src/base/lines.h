// Reads a text file line by line.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace occ {

// The lines of a file without their ends (\n or \r\n) and without the mark of UTF-8 at its beginning. What follows the
// last end of line is a line of its own unless it is empty. Throws a failure if the file cannot be read.
std::vector<std::string> read_lines(const std::filesystem::path& path);

}  // namespace occ
