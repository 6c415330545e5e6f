// The stage `qet`: product quantization behind an entanglement tree. qet.cc describes it.
#pragma once

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry qet_entry();

}  // namespace occ
