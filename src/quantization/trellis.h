// trellis.cc explains it.
#pragma once

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry trellis_entry();

}  // namespace occ
