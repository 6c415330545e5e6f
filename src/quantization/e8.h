// The stage `e8`: vectors of eight values as points of the lattice E8. e8.cc describes it.
#pragma once

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry e8_entry();

}  // namespace occ
