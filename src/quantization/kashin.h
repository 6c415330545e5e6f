// The stage `kashin`, see kashin.cc.
#pragma once

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry kashin_entry();

}  // namespace occ
