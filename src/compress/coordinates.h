// The choice of `auto`: which transforms in front of the trellis make a tensor cost the fewest bits.
#pragma once

#include <string>

#include "recipe/method.h"
#include "tensor/fit_context.h"
#include "tensor/row_source.h"

namespace occ {

struct CoordinateChoice {
  std::string prefix;      // of the recipe: "", "signs(seed=1) > hadamard > " or "lowrank(rank=4) > {...} + "
  double step_factor = 1;  // of the step: rms of the values over the rms of what the trellis gets
  std::string why;         // "identity (bits per weight against identity: rowscale +0.012, hadamard +0.031)"
};

// Codes a sample (of sample_rows) in every coordinate system that could pay and compares bits at equal distortion,
// R + 1/2 log2 D with all side information of the whole tensor in R. Leading singular components are coded apart
// (`lowrank`) where the rate that they take from the rest, N/2 log2(E / E_rest) for N weights, is more than what their
// two planes cost. A Gaussian has the highest entropy at a given variance, so rotations, which make everything look
// Gaussian, pay only where they gather energy.
CoordinateChoice choose_coordinates(const Method& method, const RowSource& source, MatrixView<const float> sample,
                                    double step, const FitContext& ctx, const std::string& what);

}  // namespace occ
