// The cost of the rate in the search of `trellis`: penalty(k) = lambda R(k), where R(k) is the number of bits that k
// takes among the integers of its parity, and lambda is in squared steps per bit. The distortion D at the rate R is
// proportional to 2^(-2 R), so that D + lambda R is least for lambda = 2 ln 2 D. With D = 0.0633 (2 step)^2, which a
// trellis reaches at high rates, this is about 0.09 (2 step)^2; the best measured value is near 0.10 (2 step)^2.
//
// Values are sorted into classes by the ratio of their expected scale to the step, a quarter of an octave each, so that
// rows and columns of any scale get penalties that suit them. A class starts with the probabilities of a Gaussian.
// Counts from a first pass over a sample refine them, which matters for data that is not Gaussian.
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
  static constexpr int kUnitClass = 24;  // class of values with scale / step = 1

  using Counts = std::vector<uint32_t>;  // [kClasses * kTrellisTable] counts, in the order of the tables

  // Sets the Gaussian penalties. `step` is the step of most columns, in units of the rms of their values.
  explicit TrellisRates(double step);
  // Includes the counts of a pass. The more counts a class has, the less its Gaussian start matters.
  void refine(const Counts& counts);

  // Returns the bits R(k) of all classes. R(k) of class `cls` is at offset(cls) + k.
  const float* table() const { return bits_->data(); }
  float lambda() const { return static_cast<float>(lambda_); }
  // Returns the factor for which shrink * x is near the best integer for x, with Gaussian penalties.
  float shrink(int cls) const;
  // Returns the class of values whose standard deviation is scale_in_steps steps.
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
