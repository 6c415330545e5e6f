// Files of tokenizers made of text.
#pragma once

#include <string>

#include "tokenizer/tokenizer.h"

namespace occ {

inline SideFile side_file_for_test(const std::string& name, const std::string& text) {
  return {name, Bytes(text.begin(), text.end())};
}

}  // namespace occ
