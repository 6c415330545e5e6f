#include "metrics/limits.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace occ {
namespace {

// The water level at which `below(result)` turns from true to false, by bisection of its logarithm.
template <typename Below>
WaterFilling search(std::span<const double> variances, Below below) {
  const double top = variances.empty() ? 0 : *std::max_element(variances.begin(), variances.end());
  if (top <= 0) return water_filling_at(variances, 0);
  double high = std::log2(top), low = std::max(high - 900, -1000.0);
  for (int i = 0; i < 200 && low < high; ++i) {
    const double middle = 0.5 * (low + high);
    if (middle == low || middle == high) break;
    (below(water_filling_at(variances, std::exp2(middle))) ? low : high) = middle;
  }
  return water_filling_at(variances, std::exp2(high));
}

}  // namespace

double gaussian_distortion(double rate) { return std::exp2(-2 * rate); }
double gaussian_rate(double distortion) { return distortion >= 1 ? 0 : -0.5 * std::log2(distortion); }
double gap_bits(double rate, double nmse) { return rate - gaussian_rate(nmse); }
double gap_db(double rate, double nmse) { return 10 * std::log10(nmse) + 20 * std::log10(2.0) * rate; }

WaterFilling water_filling_at(std::span<const double> variances, double theta) {
  WaterFilling w;
  w.theta = theta;
  if (variances.empty()) return w;
  for (const double v : variances) {
    w.distortion += std::min(theta, v);
    if (v > theta) w.rate += 0.5 * std::log2(v / theta);
  }
  w.rate /= static_cast<double>(variances.size());
  w.distortion /= static_cast<double>(variances.size());
  return w;
}

WaterFilling water_filling_for_rate(std::span<const double> variances, double rate) {
  return search(variances, [&](const WaterFilling& w) { return w.rate > rate; });
}
WaterFilling water_filling_for_distortion(std::span<const double> variances, double distortion) {
  return search(variances, [&](const WaterFilling& w) { return w.distortion < distortion; });
}

}  // namespace occ
