#include "base/option_name.h"

#include <algorithm>

namespace occ {
namespace {

std::string& prefix() {
  static std::string text;
  return text;
}

}  // namespace

void set_option_prefix(std::string_view text) { prefix() = text; }

std::string option_name(std::string_view field) {
  std::string name = prefix() + std::string(field);
  if (!prefix().empty()) std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

}  // namespace occ
