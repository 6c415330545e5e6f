#include "quantization/trellis_rates.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace occ {
namespace {

constexpr double kMostBits = 28;     // bits of an escaped integer
constexpr double kPriorCount = 64;   // the Gaussian start counts as much as this number of values
constexpr double kReachSigmas = 12;  // number of standard deviations beyond which all values cost the same

// The variance of the reconstruction is that of the values minus the distortion.
double variance_of_k(double scale_in_steps) { return std::max(scale_in_steps * scale_in_steps - 0.2, 0.08); }

// Returns the probabilities of k = -kTrellisReach .. kTrellisReach, which are not normalised.
std::vector<double> gaussian(double scale_in_steps) {
  const double variance = variance_of_k(scale_in_steps);
  std::vector<double> p(2 * kTrellisReach + 1);
  const int reach = std::min(kTrellisReach, static_cast<int>(kReachSigmas * std::sqrt(variance)) + 2);
  for (int k = -reach; k <= reach; ++k) p[static_cast<size_t>(k + kTrellisReach)] = std::exp(-k * k / (2 * variance));
  return p;
}

void fill(const std::vector<double>& p, float* table) {
  for (size_t parity = 0; parity < 2; ++parity) {
    double total = 0;
    for (size_t i = parity; i < p.size(); i += 2) total += p[i];
    for (size_t i = parity; i < p.size(); i += 2) {
      const double bits = p[i] > 0 ? std::log2(total / p[i]) : kMostBits;
      table[i] = static_cast<float>(std::min(bits, kMostBits));
    }
  }
  // Values beyond the reach use the outermost four entries, which must therefore be equal.
  std::fill_n(table, 4, table[4]);
  std::fill_n(table + p.size() - 4, 4, table[p.size() - 5]);
}

double scale_of_class(int cls) {
  return std::exp2(static_cast<double>(cls - TrellisRates::kUnitClass) / TrellisRates::kPerOctave);
}

}  // namespace

TrellisRates::TrellisRates(double step) : lambda_(0.4 + 0.4 * std::clamp(step - 0.55, 0.0, 0.6)) {
  static const auto gaussians = [] {
    auto all = std::make_shared<std::vector<float>>(size_t{kClasses} * kTrellisTable);
    for (int c = 0; c < kClasses; ++c) {
      fill(gaussian(scale_of_class(c)), &(*all)[static_cast<size_t>(c) * kTrellisTable]);
    }
    return std::shared_ptr<const std::vector<float>>(std::move(all));
  }();
  bits_ = gaussians;
}

void TrellisRates::refine(const Counts& counts) {
  auto bits = std::make_shared<std::vector<float>>(*bits_);
  for (int c = 0; c < kClasses; ++c) {
    const uint32_t* count = &counts[static_cast<size_t>(c) * kTrellisTable];
    uint64_t total = 0;
    for (size_t i = 0; i + 1 < kTrellisTable; ++i) total += count[i];
    if (total == 0) continue;
    std::vector<double> p = gaussian(scale_of_class(c));
    double sum = 0;
    for (const double v : p) sum += v;
    for (size_t i = 0; i < p.size(); ++i) p[i] = p[i] / sum * kPriorCount + count[i];
    fill(p, &(*bits)[static_cast<size_t>(c) * kTrellisTable]);
  }
  bits_ = std::move(bits);
}

// Follows from (x - k)^2 + lambda log2(e) k^2 / (2 v) = (1 + a) (k - x / (1 + a))^2 + ...
float TrellisRates::shrink(int cls) const {
  const double variance = variance_of_k(scale_of_class(std::clamp(cls, 0, kClasses - 1)));
  return static_cast<float>(1 / (1 + lambda_ * std::numbers::log2e / (2 * variance)));
}

int TrellisRates::class_of(double scale_in_steps) {
  if (!(scale_in_steps > 0)) return 0;
  const double octaves = std::log2(scale_in_steps);
  return static_cast<int>(std::lrint(std::clamp(octaves, -20.0, 20.0) * kPerOctave)) + kUnitClass;
}

}  // namespace occ
