// The coordinate system in which a tensor is coded: what stands in its recipe around the code of a method. Method
// `auto` chooses the one in which the tensor takes the fewest bits.
#pragma once

#include <string>

#include "recipe/method.h"
#include "tensor/fit_context.h"
#include "tensor/row_source.h"

namespace occ {

struct Coordinates {
  std::string transforms{};  // in front of the method's quantizer: "signs(seed=1) > hadamard", or empty
  std::string first_term{};  // coded before the rest: "lowrank(rank=4) > { left: ... ; right: ... }", or empty
  double step_factor = 1;    // of the step: rms of the values over the rms of what is left of them
  bool unit_rms = false;     // what the quantizer gets has an rms of 1, whatever the rms of the values
  std::string why{};         // "identity (bits per weight against identity: hadamard +0.031, dct +0.028)"

  Recipe around(const Recipe& code) const;
};

// Codes a sample (of sample_rows) in every coordinate system that its transform offers (TransformRoles::candidate) and
// compares bits at equal distortion, R + 1/2 log2 D with all side information of the whole tensor in R. First terms of
// a sum (transforms/first_term.h) are tried as well. A Gaussian has the highest entropy at a given variance, so
// rotations, which make everything look Gaussian, pay only where they gather energy.
Coordinates choose_coordinates(const Method& method, const RowSource& source, MatrixView<const float> sample,
                               double step, const FitContext& ctx, const std::string& what);

// Rows scaled by what their errors cost (FitContext::row_weights).
Coordinates coordinates_by_row_weights();

}  // namespace occ
