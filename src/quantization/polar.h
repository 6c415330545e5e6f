// The stage `polar`, see polar.cc.
#pragma once

#include <vector>

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry polar_entry();

// Ascending Lloyd-Max levels, 2^bits of them, of the length of `dim` independent normal values.
std::vector<double> chi_levels(size_t dim, unsigned bits);

}  // namespace occ
