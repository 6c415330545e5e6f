#include "metrics/limits.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace occ {
namespace {

// Finds the water level at which `below(result)` changes from true to false. It bisects the logarithm of the level, and
// `below` must be true for low levels.
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

std::vector<uint8_t> eigenvalue_profile(std::span<const double> eigenvalues) {
  std::vector<double> logs(eigenvalues.begin(), eigenvalues.end());
  std::sort(logs.begin(), logs.end());
  double mean = 0;
  for (const double l : logs) mean += l / static_cast<double>(logs.size());
  if (!(mean > 0)) return {};
  for (double& l : logs) l = std::log2(std::max(l / mean, 0x1p-48));
  std::vector<uint8_t> profile(std::min(kProfileSize, logs.size()));
  const double width = static_cast<double>(logs.size()) / static_cast<double>(profile.size());
  double rest = 0;
  for (size_t b = 0; b < profile.size(); ++b) {
    const double begin = width * static_cast<double>(b), end = width * static_cast<double>(b + 1);
    double sum = 0;
    for (auto i = static_cast<size_t>(begin); i < logs.size() && static_cast<double>(i) < end; ++i) {
      const double from = std::max(begin, static_cast<double>(i)), to = std::min(end, static_cast<double>(i + 1));
      sum += logs[i] * std::max(0.0, to - from);
    }
    const double wanted = 4 * sum / width + 192 + rest;
    profile[b] = static_cast<uint8_t>(std::lround(std::clamp(wanted, 0.0, 255.0)));
    rest = wanted - profile[b];
  }
  return profile;
}

std::vector<double> profile_variances(std::span<const uint8_t> profile) {
  std::vector<double> out;
  for (const uint8_t b : profile) out.push_back(std::exp2((b - 192) / 4.0));
  return out;
}

std::vector<double> profile_variances(std::span<const uint8_t> columns, std::span<const uint8_t> rows) {
  const std::vector<double> by_column = profile_variances(columns), by_row = profile_variances(rows);
  if (rows.empty()) return by_column;
  std::vector<double> out;
  for (const double r : by_row) {
    for (const double c : by_column) out.push_back(r * c);
  }
  return out;
}

double weighted_rate(double weighted_error, std::span<const uint8_t> eigenvalues,
                     std::span<const uint8_t> row_energies) {
  return water_filling_for_distortion(profile_variances(eigenvalues, row_energies), weighted_error).rate;
}

Gap gaussian_gap(double bpw, double nmse) {
  return {bpw, nmse, gaussian_rate(nmse), 10 * std::log10(nmse) + 20 * std::log10(2.0) * bpw};
}

Gap weighted_gap(double bpw, double weighted_error, std::span<const uint8_t> eigenvalues,
                 std::span<const uint8_t> row_energies) {
  const WaterFilling best = water_filling_for_rate(profile_variances(eigenvalues, row_energies), bpw);
  return {bpw, weighted_error, weighted_rate(weighted_error, eigenvalues, row_energies),
          10 * std::log10(weighted_error / best.distortion)};
}

void GapMean::add(const Gap& gap, uint64_t elements) {
  if (!(gap.error > 0) || !std::isfinite(gap.error)) return;
  const auto n = static_cast<double>(elements);
  sums_.bpw += n * gap.bpw;
  sums_.error += n * gap.error;
  sums_.limit_bpw += n * gap.limit_bpw;
  elements_ += n;
}

std::optional<Gap> GapMean::mean() const {
  if (elements_ == 0) return std::nullopt;
  Gap out{sums_.bpw / elements_, sums_.error / elements_, sums_.limit_bpw / elements_, 0};
  out.gap_db = 20 * std::log10(2.0) * out.gap_bits();
  return out;
}

}  // namespace occ
