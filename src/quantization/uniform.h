// The stage `uniform`: rounding to the nearest of 2^b evenly spaced levels, with a bf16 scale for each row, tensor,
// column or group.
//   zero=symmetric   x' = scale * (q - (2^b - 1) / 2): no level at zero, all 2^b levels are used (mid-rise)
//   zero=asymmetric  x' = scale * (q - z) with an integer zero point z for each scale, which may lie outside the codes
//   clip=mse         the scale with the least squared error (default)
//   clip=absmax      the smallest scale at which no value is clipped
// Rate: b + (16, or 24 to 32 if asymmetric) / (values per scale) bits per value. Cost: about 30 passes over cached data
// to fit with clip=mse, one with absmax; one pass to quantize or dequantize. docs/explanation/methods/rtn.md has the
// bytes. What differs from common practice: the scale is searched among the bf16 numbers that can be stored.
#pragma once

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry uniform_entry();

}  // namespace occ
