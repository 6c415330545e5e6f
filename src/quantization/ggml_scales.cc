#include "quantization/ggml_scales.h"

#include <algorithm>
#include <cmath>

namespace occ {
namespace {

constexpr int kSteps = 10;         // candidates on either side of the scale that clips nothing
constexpr double kStepSize = 0.1;  // in distances of outer levels

struct Sums {
  double w = 0, x = 0, xx = 0, level = 0, level2 = 0, product = 0;
};

Sums sums_of(const GgmlType& type, std::span<const float> x, std::span<const double> weights, double inverse,
             double offset) {
  Sums s;
  for (size_t i = 0; i < x.size(); ++i) {
    const double v = static_cast<double>(x[i]), w = weights[i];
    const auto level =
        static_cast<double>(ggml_level(type, ggml_code(type, static_cast<float>((v + offset) * inverse))));
    s.w += w;
    s.x += w * v;
    s.xx += w * v * v;
    s.level += w * level;
    s.level2 += w * level * level;
    s.product += w * v * level;
  }
  return s;
}

// The least squares of level * scale alone, and the error that it leaves.
GgmlScale without_offset(const Sums& s, double* error) {
  const double scale = s.level2 > 0 ? s.product / s.level2 : 0;
  *error = s.xx - scale * s.product;
  return {scale, 0};
}

GgmlScale with_offset(const Sums& s, bool only_positive, double* error) {
  const double determinant = s.w * s.level2 - s.level * s.level;
  if (determinant > 0) {
    const double scale = (s.w * s.product - s.x * s.level) / determinant;
    const double offset = (s.level * s.product - s.level2 * s.x) / determinant;
    if (!only_positive || offset >= 0) {
      *error = s.xx - scale * s.product + offset * s.x;
      return {scale, offset};
    }
  } else if (!only_positive || s.x <= 0) {  // all values have the same level
    const double offset = s.w > 0 ? -s.x / s.w : 0;
    *error = s.xx + offset * s.x;
    return {0, offset};
  }
  return without_offset(s, error);
}

}  // namespace

uint16_t ggml_code(const GgmlType& type, float value) {
  if (type.table) {
    const auto* above = std::lower_bound(kIq4Levels.begin(), kIq4Levels.end(), value);
    if (above == kIq4Levels.begin()) return 0;
    if (above == kIq4Levels.end()) return 15;
    const auto i = static_cast<uint16_t>(above - kIq4Levels.begin());
    return value - above[-1] < *above - value ? static_cast<uint16_t>(i - 1) : i;
  }
  const auto zero = static_cast<float>(type.zero);
  return static_cast<uint16_t>(
      std::nearbyint(std::clamp(value, -zero, static_cast<float>(type.alphabet() - 1) - zero) + zero));
}

GgmlScale fit_ggml_scale(const GgmlType& type, std::span<const float> x, std::span<const double> weights) {
  if (x.empty()) return {};
  const auto [low_at, high_at] = std::minmax_element(x.begin(), x.end());
  const double least = ggml_level(type, 0), most = ggml_level(type, static_cast<uint16_t>(type.alphabet() - 1));
  const bool only_positive = type.has_integers();
  const double step = kStepSize * (type.table ? 20 : 1);
  double low = static_cast<double>(*low_at), high = static_cast<double>(*high_at);
  GgmlScale best;
  double best_error = sums_of(type, x, weights, 0, 0).xx;
  const auto consider = [&](double inverse, double offset) {
    if (!std::isfinite(inverse)) return;
    const Sums s = sums_of(type, x, weights, inverse, offset);
    double error = 0;
    const GgmlScale fitted = type.offsets ? with_offset(s, only_positive, &error) : without_offset(s, &error);
    if (error < best_error && (!type.offsets || fitted.scale >= 0)) {
      best_error = error;
      best = fitted;
    }
  };
  if (type.offsets) {
    if (only_positive) low = std::min(low, 0.0);
    for (int k = -kSteps; k <= kSteps; ++k) consider((most + step * k) / (high - low), -low);
    if (low == high) consider(0, 0);
    return best;
  }
  // The levels are not the same on both sides of 0: the largest magnitude can have the lowest or the highest.
  const double largest = std::max(std::abs(low), std::abs(high));
  for (int k = -kSteps; k <= kSteps; ++k) {
    consider((least + step * k) / largest, 0);
    consider((-least + step * k) / largest, 0);
  }
  return best;
}

}  // namespace occ
