// The stage `polar`: vectors as a direction and a length. polar.cc describes it.
#pragma once

#include <vector>

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry polar_entry();

// Returns the 2^bits Lloyd-Max levels of the length of a vector with `dim` independent normal coordinates (chi
// distribution), in ascending order.
std::vector<double> chi_levels(size_t dim, unsigned bits);

}  // namespace occ
