#include "quantization/trellis_code.h"

#include "base/check.h"

namespace occ {

TrellisCode trellis_code(uint32_t states) {
  for (const TrellisCode& code : kTrellisCodes) {
    if (code.states == states) return code;
  }
  OCC_CHECK(false);
}

std::shared_ptr<const FiniteState> trellis_machine(const TrellisCode& code) {
  auto machine = std::make_shared<FiniteState>();
  machine->num_states = code.states;
  machine->num_contexts = 2;
  machine->classes = 2;
  for (uint32_t s = 0; s < code.states; ++s) {
    for (uint32_t b = 0; b < 2; ++b) machine->next.push_back(static_cast<uint16_t>(code.next(s, b)));
    machine->context.push_back(static_cast<uint16_t>(s & 1));
  }
  return machine;
}

}  // namespace occ
