// Mixtures of experts: a router chooses for every token which MLPs compute it (Shazeer et al. 2017, arXiv 1701.06538).
//
//   p = softmax(router x);   y = sum of w_e mlp_e(x) over the experts_used experts e with the largest p_e
//   w_e = p_e, or with normalized_experts p_e divided by the sum of p over the chosen experts
#pragma once

#include <span>
#include <vector>

#include "model/config.h"
#include "occ/matrix.h"

namespace occ {

// A token that goes through an expert, and the weight w_e of the expert's output.
struct Routed {
  size_t token;
  float weight;
};

// For every expert the tokens that go through it, in ascending order.
using Routes = std::vector<std::vector<Routed>>;
// logits [tokens, experts] are the router's outputs; its bias (empty: none) is added to them in place. Of experts with
// equal probabilities the one with the lowest number is chosen first.
Routes route_tokens(const ModelConfig& config, std::span<const float> bias, MatrixView<float> logits);

// Copies the rows of x [tokens, n] that an expert gets to out [routed.size(), n].
void gather_routed(std::span<const Routed> routed, MatrixView<const float> x, MatrixView<float> out);
// For every i: y[routed[i].token] += routed[i].weight * (rows[i] + bias). bias [n] may be null.
void add_routed(std::span<const Routed> routed, MatrixView<const float> rows, const float* bias, MatrixView<float> y);

}  // namespace occ
