#include "model/rope.h"

#include <algorithm>
#include <cmath>

namespace occ {
namespace {

constexpr double kPi = 3.14159265358979323846;

// Wavelengths below original / high keep their frequency, those above original / low are divided by the factor.
double scale_llama3(double frequency, const ModelConfig& c) {
  const double low = static_cast<double>(c.rope_low_freq), high = static_cast<double>(c.rope_high_freq);
  const double turns = static_cast<double>(c.rope_original_context) * frequency / (2 * kPi);
  const double divided = frequency / static_cast<double>(c.rope_factor);
  if (turns > high) return frequency;
  if (turns < low) return divided;
  const double smooth = (turns - low) / (high - low);
  return (1 - smooth) * divided + smooth * frequency;
}

// The pair that makes `rotations` turns over the original context, as a real number.
double yarn_pair(double rotations, const ModelConfig& c) {
  const double original = static_cast<double>(c.rope_original_context);
  return static_cast<double>(c.rotary_dim) * std::log(original / (rotations * 2 * kPi)) /
         (2 * std::log(static_cast<double>(c.rope_theta)));
}

double scale_yarn(double frequency, size_t pair, const ModelConfig& c) {
  double low = yarn_pair(static_cast<double>(c.rope_beta_fast), c);
  double high = yarn_pair(static_cast<double>(c.rope_beta_slow), c);
  if (c.rope_truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(c.rotary_dim) - 1);
  if (low == high) high += 0.001;
  const double divided = std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
  return frequency * (1 - divided) + frequency / static_cast<double>(c.rope_factor) * divided;
}

}  // namespace

Rope::Rope(const ModelConfig& c, bool long_context) : scale_(static_cast<double>(c.rope_attention_factor)) {
  const std::vector<float>& factors =
      long_context && !c.rope_long_factors.empty() ? c.rope_long_factors : c.rope_factors;
  for (size_t i = 0; i < c.rotary_dim / 2; ++i) {
    const double exponent = -2 * static_cast<double>(i) / static_cast<double>(c.rotary_dim);
    double frequency = std::pow(static_cast<double>(c.rope_theta), exponent);
    if (!factors.empty()) frequency /= static_cast<double>(factors[i]);
    if (c.rope_scaling == RopeScaling::kLinear) frequency /= static_cast<double>(c.rope_factor);
    if (c.rope_scaling == RopeScaling::kLlama3) frequency = scale_llama3(frequency, c);
    if (c.rope_scaling == RopeScaling::kYarn) frequency = scale_yarn(frequency, i, c);
    frequencies_.push_back(frequency);
  }
}

Rope Rope::local(const ModelConfig& config) {
  ModelConfig plain;
  plain.rotary_dim = config.rotary_dim;
  plain.rope_theta = config.rope_local_theta;
  return Rope(plain, false);
}

void Rope::table_row(size_t position, float* out) const {
  for (size_t i = 0; i < pairs(); ++i) {
    const double angle = static_cast<double>(position) * frequencies_[i];
    out[i] = static_cast<float>(scale_ * std::cos(angle));
    out[pairs() + i] = static_cast<float>(scale_ * std::sin(angle));
  }
}

}  // namespace occ
