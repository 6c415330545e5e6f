// The stage `kashin`: rows as sums of two vectors with few levels in two bases. kashin.cc describes it.
#pragma once

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry kashin_entry();

}  // namespace occ
