// All quantizers, in the order of `occ methods`. A new one is one file and one line here.
#include "quantization/lloyd.h"
#include "quantization/quantizer.h"
#include "quantization/uniform.h"

namespace occ {

std::span<const QuantizerEntry> quantizer_registry() {
  static const QuantizerEntry table[] = {
      uniform_entry(),
      lloyd_entry(),
  };
  return table;
}

const QuantizerEntry* find_quantizer(std::string_view name) {
  for (const QuantizerEntry& entry : quantizer_registry()) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

}  // namespace occ
