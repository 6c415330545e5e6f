// The stage `polar`: vectors as a direction and a length. polar.cc describes it.
#pragma once

#include <vector>

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry polar_entry();

// The 2^bits Lloyd-Max levels, ascending, of the length of a vector of `dim` independent normal values (the chi
// distribution).
std::vector<double> chi_levels(size_t dim, unsigned bits);

}  // namespace occ
