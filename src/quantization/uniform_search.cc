#include "quantization/uniform_search.h"

#include <algorithm>
#include <array>
#include <cfloat>
#include <cmath>
#include <limits>

#include "quantization/scale_grid.h"
#include "quantization/uniform_kernels.h"

namespace occ {
namespace {

constexpr size_t kMaxCandidates = 32;
static_assert(kMaxCandidates <= kMaxUniformSteps);
constexpr double kMinZero = -32768, kMaxZero = 32767;

struct Candidate {
  int code = 0;
  int zero = 0;
};

float offset_of(const UniformFit& how, int zero) {
  return how.asymmetric ? static_cast<float>(zero) : how.max_code / 2;
}
int limit_of(const UniformFit& how, int zero) {
  return how.asymmetric ? max_scale_code(how.max_code, static_cast<float>(zero)) : how.symmetric_limit;
}

// Returns the zero point at which `low` gets code 0.
int zero_at(int code, double low) {
  const double scale = static_cast<double>(scale_of(code));
  const double zero = std::nearbyint(-low / scale);
  if (scale == 0 || std::isnan(zero)) return 0;  // everything decodes to zero, or the range is beyond that of floats
  return static_cast<int>(std::clamp(zero, kMinZero, kMaxZero));
}

Candidate absmax_of(const UniformFit& how, LineRange range) {
  const double max_code = static_cast<double>(how.max_code), min = range.min, max = range.max;
  if (!how.asymmetric) {
    const double largest = std::max(std::abs(min), std::abs(max));
    return {std::min(scale_code_up(largest * how.per_half_range), how.symmetric_limit), 0};
  }
  Candidate best;
  best.code = std::max({scale_code_up((max - min) / max_code), scale_code_up(std::abs(min) / kMaxZero), 1});
  // Rounding the zero point can move the other end by one code.
  for (;; ++best.code) {
    best.zero = zero_at(best.code, min);
    const double top = std::nearbyint(max / static_cast<double>(scale_of(best.code))) + best.zero;
    if (top <= max_code || best.code >= kMaxScaleCode) break;
  }
  while (best.code > 1 && best.code > limit_of(how, best.zero)) {  // can only happen near FLT_MAX
    --best.code;
    best.zero = zero_at(best.code, min);
  }
  return best;
}

class LineSearch {
 public:
  LineSearch(const UniformFit& how, MatrixView<const float> x, LineRange range)
      : how_(how),
        panels_(x),
        elements_(static_cast<double>(x.size())),
        max_code_(static_cast<double>(how.max_code)),
        range_(range),
        absmax_(std::max(std::abs(range.min), std::abs(range.max))) {}

  Candidate least_squares() {
    const Candidate start = absmax_of(how_, range_);
    center();
    const int low = std::max(1, scale_code_down(0.8 * deviation_ / (max_code_ / 2)));
    const int step = std::max(16, (start.code - low + 23) / 24);
    best_error_ = std::numeric_limits<double>::infinity();
    best_ = start;
    add(start);
    for (int code = start.code - step; code > low - step && code > 0; code -= step) add(at(code));
    pick();
    for (int h = step / 2; h > 0; h /= 2) {
      const int middle = best_.code;
      add(at(middle - h));
      add(at(middle + h));
      pick();
    }
    if (how_.asymmetric) refine_zero();
    return best_;
  }

 private:
  // Computes the mean and the mean absolute deviation; for symmetric levels, the deviation about 0.
  void center() {
    const float unit = static_cast<float>(absmax_);
    const auto add_up = [](LineSums& sums) {
      return [&sums](const LineSums& s) {
        sums.sum += s.sum;
        sums.deviation += s.deviation;
      };
    };
    LineSums about_zero, about_mean;
    panels_.reduce<LineSums>([&](auto x) { return line_sums(x, unit, 0); }, add_up(about_zero));
    deviation_ = about_zero.deviation / elements_ * absmax_;
    if (!how_.asymmetric) return;
    const float mean = static_cast<float>(about_zero.sum / elements_);
    panels_.reduce<LineSums>([&](auto x) { return line_sums(x, unit, mean); }, add_up(about_mean));
    deviation_ = about_mean.deviation / elements_ * absmax_;
    mean_ = static_cast<double>(mean) * absmax_;
  }

  // Returns the candidate with this scale. If asymmetric, the range shrinks towards the mean, in proportion at both
  // ends.
  Candidate at(int code) const {
    if (!how_.asymmetric) return {code, 0};
    const double width = static_cast<double>(range_.max) - range_.min;
    const double below = width > 0 ? (mean_ - range_.min) / width : 0;
    return {code, zero_at(code, mean_ - below * max_code_ * static_cast<double>(scale_of(code)))};
  }

  void add(Candidate c) {
    if (c.code < 1 || c.code > limit_of(how_, c.zero) || c.zero < kMinZero || c.zero > kMaxZero) return;
    candidates_[count_] = c;
    steps_[count_++] = {scale_of(c.code), offset_of(how_, c.zero)};
  }

  // Measures the candidates that were added. Among equally good ones the first wins.
  void pick() {
    using Errors = std::array<double, kMaxCandidates>;
    Errors total = {};
    const std::span<const UniformStep> steps(steps_.data(), count_);
    panels_.reduce<Errors>(
        [&](auto x) {
          Errors errors;
          uniform_errors(x, steps, static_cast<float>(max_code_), errors.data());
          return errors;
        },
        [&](const Errors& errors) {
          for (size_t i = 0; i < count_; ++i) total[i] += errors[i];
        });
    for (size_t i = 0; i < count_; ++i) {
      if (total[i] < best_error_) {
        best_error_ = total[i];
        best_ = candidates_[i];
      }
    }
    count_ = 0;
  }

  void refine_zero() {
    for (int round = 0; round < 4; ++round) {
      const Candidate middle = best_;
      add({middle.code, middle.zero - 1});
      add({middle.code, middle.zero + 1});
      add({middle.code - 1, middle.zero});
      add({middle.code + 1, middle.zero});
      pick();
      if (best_.code == middle.code && best_.zero == middle.zero) return;
    }
  }

  const UniformFit how_;
  const LinePanels panels_;
  const double elements_, max_code_;
  const LineRange range_;
  const double absmax_;
  double mean_ = 0, deviation_ = 0;
  std::array<Candidate, kMaxCandidates> candidates_;
  std::array<UniformStep, kMaxCandidates> steps_;
  size_t count_ = 0;
  Candidate best_;
  double best_error_ = 0;
};

}  // namespace

int max_scale_code(float max_code, float offset) {
  return scale_code_down(static_cast<double>(FLT_MAX) /
                         std::max({1.0, std::abs(static_cast<double>(offset)),
                                   std::abs(static_cast<double>(max_code) - static_cast<double>(offset))}));
}

UniformFit::UniformFit(unsigned bits, bool is_asymmetric, bool is_absmax)
    : asymmetric(is_asymmetric),
      absmax(is_absmax),
      max_code(static_cast<float>((1u << bits) - 1)),
      per_half_range(2 / static_cast<double>(max_code)),
      symmetric_limit(max_scale_code(max_code, max_code / 2)) {}

UniformChoice fit_uniform_line(const UniformFit& how, MatrixView<const float> x) {
  if (x.size() == 0) return {};
  LineRange range{x(0, 0), x(0, 0)};
  LinePanels(x).reduce<LineRange>([](auto panel) { return line_range(panel); },
                                  [&](const LineRange& r) {
                                    range.min = std::min(range.min, r.min);
                                    range.max = std::max(range.max, r.max);
                                  });
  if (range.min == 0 && range.max == 0) return {};
  const Candidate best = how.absmax ? absmax_of(how, range) : LineSearch(how, x, range).least_squares();
  return {scale_of(best.code), best.zero};
}

}  // namespace occ
