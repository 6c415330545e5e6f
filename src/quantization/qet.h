// The stage `qet`, see qet.cc.
#pragma once

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry qet_entry();

}  // namespace occ
