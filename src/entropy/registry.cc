// Every entropy coder. The suite in registry_test.cc runs over this table.
#include <array>

#include "entropy/coders.h"

namespace occ {

std::span<const CoderEntry> coder_registry() {
  static const std::array<CoderEntry, 2> kCoders = {bitpack_coder(), rans_coder()};
  return kCoders;
}

const CoderEntry* find_coder(std::string_view name) {
  for (const CoderEntry& entry : coder_registry()) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

}  // namespace occ
