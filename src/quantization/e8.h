// The stage `e8`, see e8.cc.
#pragma once

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry e8_entry();

}  // namespace occ
