// Quantizers whose encoder needs linalg. They are part of occ_encode; the decode library knows only their names.
#include "base/check.h"
#include "quantization/quantizer.h"

namespace occ {

std::unique_ptr<Quantizer> fit_opq(const Params&, MatrixView<const float>, const FitContext&);

namespace {

struct FitEntry {
  std::string_view name;
  QuantizerFit fit;
};
constexpr FitEntry kFits[] = {{"opq", fit_opq}};

const FitEntry* find_fit(std::string_view name) {
  for (const FitEntry& entry : kFits) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

}  // namespace

QuantizerFit quantizer_fit(const QuantizerEntry& entry) {
  if (entry.fit != nullptr) return entry.fit;
  const FitEntry* found = find_fit(entry.name);
  OCC_CHECK(found != nullptr);
  return found->fit;
}

bool quantizer_fit_needs_blas(std::string_view name) { return find_fit(name) != nullptr; }

}  // namespace occ
