// `uniform`: round to nearest on evenly spaced levels, b bits, a bf16 scale per row, tensor, column or group.
//   symmetric   x' = scale * (q - (2^b - 1) / 2), no level at zero, all 2^b levels used (mid-rise)
//   asymmetric  x' = scale * (q - z), z an integer zero point per scale; z may lie outside the codes
// The scale is the smallest at which nothing clips (absmax) or the one with the least squared error (mse, default).
// Rate: b + (16 or, asymmetric, 24 .. 32) / (elements per scale) bits per weight. Cost: about 30 passes over cached
// data to fit with mse, one with absmax; one pass to quantize or dequantize. The bytes are in
// docs/explanation/methods/rtn.md.
// Classic; what differs from common practice: scales are searched on the bf16 lattice they are stored on.
#pragma once

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry uniform_entry();

}  // namespace occ
