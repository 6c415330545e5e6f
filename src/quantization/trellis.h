// The stage `trellis`: entropy-coded trellis-coded quantization. trellis.cc describes it.
#pragma once

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry trellis_entry();

}  // namespace occ
