// What a value k costs in the walk of `trellis`: penalty(k) = lambda R(k), R(k) the bits of k among the integers of its
// union (even or odd), lambda in squared steps per bit. At a fixed rate R - lambda D is stationary for lambda = 2 ln 2
// D; with D = 0.0633 (2 step)^2, what a trellis reaches at high rate, that is about 0.09 (2 step)^2, and measured best
// near 0.10 (2 step)^2.
//
// Values are sorted into classes by the ratio of their expected scale to the step, a quarter octave each, so that rows
// and columns of different size each get the penalties that suit them. A class starts with the pmf of a Gaussian and
// is refined with counts of a first pass over a sample, which matters for data that is not Gaussian.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "quantization/trellis_kernels.h"

namespace occ {

class TrellisRates {
 public:
  static constexpr int kClasses = 64;
  static constexpr int kPerOctave = 4;
  static constexpr int kUnitClass = 24;  // scale / step = 1

  using Counts = std::vector<uint32_t>;  // [kClasses * kTrellisTable], as the tables

  // Gaussian. step: of most columns, in units of the rms of their values.
  explicit TrellisRates(double step);
  // Counts of a pass: the more of them, the less the Gaussian matters.
  void refine(const Counts& counts);

  const float* table() const { return bits_->data(); }  // bits, without lambda
  float lambda() const { return static_cast<float>(lambda_); }
  // Where the integers around x are looked for: nearest to shrink * x once Gaussian bits count.
  float shrink(int cls) const;
  static int class_of(double scale_in_steps);
  static int32_t offset(int cls) {
    const int c = cls < 0 ? 0 : cls >= kClasses ? kClasses - 1 : cls;
    return c * static_cast<int32_t>(kTrellisTable) + kTrellisReach;
  }

 private:
  double lambda_;
  std::shared_ptr<const std::vector<float>> bits_;
};

}  // namespace occ
