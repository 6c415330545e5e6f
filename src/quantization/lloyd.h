// `lloyd`: 2^b levels placed where they cost least, x' = scale * level[q], a bf16 scale per row, tensor, column or
// group.
//   gaussian  the Lloyd-Max levels of N(0, 1): level = mean of its cell, cell borders midway between levels (Lloyd
//   1957,
//             Max 1960). Solved by Newton's method on the tridiagonal system of these conditions, from the levels of
//             the cube-root density (Panter & Dite 1951).
//   fitted    the best levels for this plane: 1-D k-means by dynamic programming, divide and conquer over a histogram
//   of
//             4,096 cells of x / rms (Wu 1991), then centroid iterations on the data itself.
// Scales minimise the squared error of what shares them, by alternating assignment and least squares.
// Rate: b + 16 / (elements per scale) + 32 2^b / elements. The bytes are in docs/explanation/methods/lloyd.md.
#pragma once

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry lloyd_entry();

}  // namespace occ
