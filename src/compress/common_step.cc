#include "compress/common_step.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

#include "base/error.h"

namespace occ {
namespace {

constexpr double kMostOctaves = 14;  // limits the step to 2^-14 to 2^14 times the rms
// How much the rate of adjusted tensors may differ from the others, in bits per weight.
constexpr double kMostAdjustment = 0.06;

// Finds the x at which f(x), which falls on the whole, comes closest to `target` from below, and stops within
// `tolerance`. `slope` is a guess of -f'(x). Returns nothing if f stays above the target for all x up to kMostOctaves.
std::optional<double> seek_from_below(const std::function<double(double)>& f, double target, double tolerance, double x,
                                      double slope) {
  constexpr int kMostSteps = 20;
  const double goal = target - tolerance / 2;
  std::optional<double> low, high, best;  // f(low) > target >= f(high)
  double f_low = 0, f_high = 0, f_best = 0;
  double reach = 0.25;  // step in octaves while there is no bracket
  for (int i = 0; i < kMostSteps; ++i) {
    const double value = f(x);
    if (value <= target) {
      high = x, f_high = value;
      if (!best || value > f_best) best = x, f_best = value;
      if (value >= target - tolerance || x <= -kMostOctaves) break;
    } else {
      low = x, f_low = value;
      if (x >= kMostOctaves) break;
    }
    if (low && high) {
      if (std::fabs(*high - *low) < 1e-6) break;
      const double share = f_low > f_high ? (f_low - goal) / (f_low - f_high) : 0.5;
      x = *low + (*high - *low) * (i % 4 == 3 ? 0.5 : std::clamp(share, 0.02, 0.98));
    } else {
      const double guess = std::clamp((value - goal) / slope, -3.0, 3.0);
      x = std::clamp(x + (low ? std::max(guess, reach) : std::min(guess, -reach / 64)), -kMostOctaves, kMostOctaves);
      reach *= 2;
    }
  }
  return best;
}

}  // namespace

CommonStep::CommonStep(std::vector<PlannedTensor>& plan, SizeModel& sizes, int effort)
    : plan_(plan), sizes_(sizes), effort_(effort), adjusted_(plan.size(), true) {}

void CommonStep::set_one(size_t k, double step) {
  PlannedTensor& t = plan_[k];
  // Rounds the step as recipes print it. The damping depends on the step, and equal recipes must give equal bytes.
  t.step = std::stod(fmt::format("{:.5g}", step * t.coordinates.step_factor / std::sqrt(t.sensitivity)));
  t.recipe = t.recipe_at(1, effort_);
}

void CommonStep::set(double step, bool all) {
  step_ = step;
  for (size_t k = 0; k < plan_.size(); ++k) {
    if (plan_[k].continuous() && (all || adjusted_[k])) set_one(k, step);
  }
}

void CommonStep::lengthen(std::span<const size_t> tensors, double octaves) {
  step_ = std::exp2(std::log2(step_) + octaves);
  for (const size_t k : tensors) {
    if (!plan_[k].continuous()) continue;
    const Estimate moved = sizes_.at_longer_step(k, octaves);
    set_one(k, step_);
    sizes_.assume(k, moved);
  }
}

bool CommonStep::seek_bytes(double target, double tolerance, bool all) {
  double weights = 0;
  for (size_t k = 0; k < plan_.size(); ++k) {
    if (plan_[k].continuous() && (all || adjusted_[k])) weights += static_cast<double>(plan_[k].shape.size());
  }
  const double start = step_;
  const auto bytes = [&](double octaves) {
    set(std::exp2(octaves), all);
    sizes_.predict_all();
    return static_cast<double>(sizes_.file_bytes());
  };
  const auto found = seek_from_below(bytes, target, tolerance, std::log2(start), weights / 8);
  if (!found && !all) {  // the tensors that may be adjusted are not enough
    step_ = start;
    return seek_bytes(target, tolerance, true);
  }
  set(std::exp2(found.value_or(kMostOctaves)), all);
  return found.has_value();
}

void CommonStep::seek_nmse(double target) {
  const auto distortion = [&](double x) {  // decreasing in x
    set(std::exp2(-x), true);
    sizes_.predict_all();
    return std::log2(std::max(sizes_.nmse(), 1e-30));
  };
  const auto found = seek_from_below(distortion, std::log2(target), 0.006, -std::log2(step_), 2);
  set(std::exp2(found ? -*found : -kMostOctaves), true);
}

void CommonStep::choose_adjusted(std::span<const size_t> order, double difference) {
  std::fill(adjusted_.begin(), adjusted_.end(), false);
  double room = 0;
  for (const size_t k : order) {
    if (room >= std::fabs(difference)) break;
    adjusted_[k] = true;
    room += static_cast<double>(plan_[k].shape.size()) * kMostAdjustment / 8;
  }
}

}  // namespace occ
