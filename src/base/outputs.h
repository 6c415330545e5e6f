// Before an output is written.
#pragma once

#include <filesystem>

namespace occ {

// Usage error if writing `output` would replace `input`, one of its files, or the folder that it lies in; links are
// followed.
void require_not_input(const std::filesystem::path& output, const std::filesystem::path& input);

}  // namespace occ
