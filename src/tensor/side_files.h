// Access to the small files of a model by name and as text.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "tensor/tensor_file.h"

namespace occ {

// The file with this name, or null if there is none.
inline const SideFile* find_side_file(const std::vector<SideFile>& files, std::string_view name) {
  const auto at = std::find_if(files.begin(), files.end(), [&](const SideFile& f) { return f.name == name; });
  return at == files.end() ? nullptr : &*at;
}

inline std::string_view text_of(const SideFile& file) {
  return {reinterpret_cast<const char*>(file.bytes.data()), file.bytes.size()};
}

}  // namespace occ
