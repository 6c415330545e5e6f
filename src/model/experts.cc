#include "model/experts.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace occ {

Routes route_tokens(const ModelConfig& c, std::span<const float> bias, MatrixView<float> logits) {
  Routes routes(c.experts);
  std::vector<size_t> order(c.experts);
  std::vector<double> p(c.experts);
  for (size_t t = 0; t < logits.rows(); ++t) {
    for (size_t e = 0; e < c.experts; ++e) {
      if (!bias.empty()) logits(t, e) += bias[e];
      const double z = double{logits(t, e)};
      p[e] = std::isnan(z) ? -std::numeric_limits<double>::max() : z;
    }
    std::iota(order.begin(), order.end(), size_t{0});
    std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(c.experts_used), order.end(),
                      [&](size_t a, size_t b) { return p[a] != p[b] ? p[a] > p[b] : a < b; });
    double all = 0, chosen = 0;
    const double most = p[order[0]];
    for (double& v : p) all += v = std::exp(v - most);
    for (size_t i = 0; i < c.experts_used; ++i) chosen += p[order[i]];
    for (size_t i = 0; i < c.experts_used; ++i) {
      const double weight = p[order[i]] / (c.normalized_experts ? chosen : all);
      routes[order[i]].push_back({t, static_cast<float>(weight)});
    }
  }
  return routes;
}

void gather_routed(std::span<const Routed> routed, MatrixView<const float> x, MatrixView<float> out) {
  for (size_t i = 0; i < routed.size(); ++i) std::copy_n(x.row(routed[i].token), x.cols(), out.row(i));
}

void add_routed(std::span<const Routed> routed, MatrixView<const float> rows, const float* bias, MatrixView<float> y) {
  for (size_t i = 0; i < routed.size(); ++i) {
    float* to = y.row(routed[i].token);
    for (size_t c = 0; c < y.cols(); ++c) {
      to[c] += routed[i].weight * (rows(i, c) + (bias != nullptr ? bias[c] : 0));
    }
  }
}

}  // namespace occ
