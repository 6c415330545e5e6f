// The coordinate system in which a tensor is coded. In a recipe it is everything around the code of the method. The
// method `auto` chooses the coordinate system in which the tensor takes the fewest bits.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "recipe/method.h"
#include "tensor/fit_context.h"
#include "tensor/row_source.h"
#include "transforms/first_term.h"

namespace occ {

struct Coordinates {
  std::string transforms{};  // transforms before the quantizer of the method: "signs(seed=1) > hadamard", or empty
  // Term coded before the rest: "lowrank(rank=4) > { left: ... ; right: ... }", or empty.
  std::string first_term{};
  // Factor of the step, which is in units of the rms: rms of the tensor over the rms of what is quantized.
  double step_factor = 1;
  bool unit_rms = false;  // whether the transforms give the quantizer values with an rms of 1
  // Reason for the report: "identity (bits per weight against identity: hadamard +0.031)".
  std::string why{};

  // Returns the recipe with these coordinates around `code`.
  Recipe around(const Recipe& code) const;
};

// Bits per weight that a transform must save to be worth its time. Smaller gains may be errors of the sample.
inline constexpr double kWorthwhileBits = 0.01;

// A first term of a sum that may be coded before the rest. `coordinates` has its recipe and the factor of the step.
struct FirstTermTrial {
  std::string_view name;  // name of the transform
  Coordinates coordinates;
  FirstTerm term;
};
// Returns the best first term for every transform that can be one (transforms/first_term.h), if by its own estimate it
// saves at least `least_gain` bits per weight. `rate` is the bits per weight of the matrix without a first term.
// `sample` has rows of the source, from sample_rows.
std::vector<FirstTermTrial> find_first_terms(const RowSource& source, MatrixView<const float> sample, double rate,
                                             double least_gain, const FitContext& ctx);

// Codes a sample (from sample_rows) in every coordinate system that a transform offers (TransformRoles::candidate) and
// compares the bits at equal distortion, R + 1/2 log2 D. R includes all side information of the whole tensor. First
// terms of a sum (transforms/first_term.h) are tried as well. A Gaussian has the highest entropy at a given variance.
// Rotations make all values nearly Gaussian, so they reduce the bits only where they concentrate energy in some of the
// values.
Coordinates choose_coordinates(const Method& method, const RowSource& source, MatrixView<const float> sample,
                               double step, const FitContext& ctx, const std::string& what);

// Returns the coordinates in which rows are scaled according to the weights of their errors (FitContext::row_weights).
Coordinates coordinates_by_row_weights(Shape shape);

}  // namespace occ
