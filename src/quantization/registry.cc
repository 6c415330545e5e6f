// All quantizers, in the order of `occ methods`. A new one is one file and one line here.
#include "base/check.h"
#include "quantization/e8.h"
#include "quantization/ggml.h"
#include "quantization/kashin.h"
#include "quantization/lloyd.h"
#include "quantization/opq.h"
#include "quantization/polar.h"
#include "quantization/pq.h"
#include "quantization/qet.h"
#include "quantization/quantizer.h"
#include "quantization/trellis.h"
#include "quantization/uniform.h"

namespace occ {

void Quantizer::integers(const Rect&, std::span<const MatrixView<const Symbol>>, MatrixView<int32_t>) const {
  OCC_CHECK(false);  // must not be called, because integer_view() returns nothing
}

void Quantizer::parts(const Rect&, std::span<const MatrixView<const Symbol>>, MatrixView<float>) const {
  OCC_CHECK(false);  // must not be called, because part_count() is 1
}
void Quantizer::part_inputs(MatrixView<const float>, MatrixView<float>) const { OCC_CHECK(false); }

std::span<const QuantizerEntry> quantizer_registry() {
  static const QuantizerEntry table[] = {
      uniform_entry(), lloyd_entry(), trellis_entry(), polar_entry(), kashin_entry(),
      e8_entry(),      pq_entry(),    opq_entry(),     qet_entry(),   ggml_entry(),
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
