#include "model/sampling.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"

namespace occ {

Sampler::Sampler(const SamplingOptions& options) : options_(options), rng_(options.seed) {
  if (!(options.temperature >= 0) || std::isinf(options.temperature)) {
    throw_usage("temperature: expected a number >= 0, found {}", options.temperature);
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    throw_usage("top-p: expected a number above 0 and at most 1, found {}", options.top_p);
  }
}

TokenId Sampler::next(std::span<const float> logits) {
  OCC_CHECK(!logits.empty());
  for (const float v : logits) {
    if (std::isnan(v)) throw_input("the model's logits are not numbers: are there NaN or Inf in its weights?");
  }
  if (options_.temperature == 0) {
    return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  candidates_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) candidates_[i] = {logits[i], static_cast<TokenId>(i)};
  const auto likelier = [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  };
  if (options_.top_k != 0 && options_.top_k < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(options_.top_k),
                     candidates_.end(), likelier);
    candidates_.resize(options_.top_k);
  }
  const float top = std::min_element(candidates_.begin(), candidates_.end(), likelier)->first;
  const auto weight = [&](float logit) { return std::exp((logit - top) / options_.temperature); };
  double total = 0;
  for (const auto& [logit, id] : candidates_) total += static_cast<double>(weight(logit));
  if (options_.top_p < 1) {
    // All tokens below a share of (1 - top_p) / candidates together have less than 1 - top_p, so that none of them is
    // needed. Few are left to sort. The factor leaves room for rounding.
    const double least =
        0.99 * (1 - static_cast<double>(options_.top_p)) * total / static_cast<double>(candidates_.size());
    const float least_logit = top + options_.temperature * static_cast<float>(std::log(least));
    std::erase_if(candidates_, [&](const auto& c) { return c.first < least_logit; });
  }
  std::sort(candidates_.begin(), candidates_.end(), likelier);
  for (auto& candidate : candidates_) candidate.first = weight(candidate.first);
  double mass = 0;
  size_t kept = 0;
  while (kept < candidates_.size() && (kept == 0 || mass < static_cast<double>(options_.top_p) * total)) {
    mass += static_cast<double>(candidates_[kept++].first);
  }
  double at = rng_.uniform() * mass;
  for (size_t i = 0; i + 1 < kept; ++i) {
    at -= static_cast<double>(candidates_[i].first);
    if (at < 0) return candidates_[i].second;
  }
  return candidates_[kept - 1].second;
}

}  // namespace occ
