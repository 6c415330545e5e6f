// Mixtures of experts: which MLPs a token goes through (Shazeer et al. 2017, arXiv 1701.06538).
//
//   p = softmax(router x);   y = sum over the experts_used likeliest e of w_e mlp_e(x)
//   w_e = p_e, or p_e over the sum of those chosen
#pragma once

#include <span>
#include <vector>

#include "model/config.h"
#include "occ/matrix.h"

namespace occ {

struct Routed {
  size_t token;
  float weight;
};

// By expert: its tokens in their order. Of equal probabilities that of the first expert counts.
using Routes = std::vector<std::vector<Routed>>;
// logits [tokens, experts] of the router, to which its bias (empty: none) is added.
Routes route_tokens(const ModelConfig& config, std::span<const float> bias, MatrixView<float> logits);

// out [routed.size(), n]: the rows of x that an expert gets.
void gather_routed(std::span<const Routed> routed, MatrixView<const float> x, MatrixView<float> out);
// y[token] += weight * (rows + bias), bias null: none.
void add_routed(std::span<const Routed> routed, MatrixView<const float> rows, const float* bias, MatrixView<float> y);

}  // namespace occ
