// The stage `lloyd`: scalar quantization with 2^b levels of least squared error, x' = scale * level[q], and a bf16
// scale for each row, tensor, column or group.
//   codebook=gaussian  the Lloyd-Max levels of N(0, 1): every level is the mean of its cell, and the borders of cells
//                      lie midway between levels (Lloyd 1957, Max 1960). These conditions are a tridiagonal system,
//                      which Newton's method solves from the levels of the cube-root density (Panter & Dite 1951).
//   codebook=fitted    the best levels for this plane: 1-D k-means by dynamic programming over a histogram of 4,096
//                      cells of x / rms (Wu 1991), then centroid iterations on the values themselves.
// Each scale minimises the squared error of the values that share it, by alternating between the assignment to levels
// and least squares.
// Rate: b + 16 / (values per scale) + 32 2^b / values bits per value. docs/explanation/methods/lloyd.md has the bytes.
#pragma once

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry lloyd_entry();

}  // namespace occ
