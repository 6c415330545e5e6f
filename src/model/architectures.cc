#include "model/architectures.h"

#include "base/check.h"

namespace occ {

Architecture llama_architecture();
Architecture mistral_architecture();

std::span<const Architecture> architectures() {
  static const std::vector<Architecture> all = {llama_architecture(), mistral_architecture()};
  return all;
}

const Architecture& find_architecture(const std::string& name) {
  for (const Architecture& a : architectures()) {
    if (a.name == name) return a;
  }
  OCC_CHECK(false);
  return architectures()[0];
}

std::string architecture_list() {
  std::string out;
  for (const Architecture& a : architectures()) {
    if (!out.empty()) out += ", ";
    out += a.hf_classes[0];
  }
  return out;
}

}  // namespace occ
