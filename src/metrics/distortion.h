// How far a reconstruction x' is from its reference x. d = x - x', sums over all elements:
//   mse = sum d^2 / n                  mae = sum |d| / n            max_abs = max |d|
//   nmse = sum d^2 / sum x^2           (0/0 = 0, e/0 = infinity)    sqnr_db = -10 log10 nmse
//   mre = mean of |d| / |x| over x != 0 (0 if there is none)
//   cosine = <x, x'> / (|x| |x'|) of the flattened tensors (both zero: 1, one zero: 0)
// Everything is summed in double, unfused, in eight fixed partial sums, so the figures are the same on every CPU; they
// do not depend on threads as long as accumulators are merged in a fixed order. Cost: one pass over both.
#pragma once

#include <cstdint>

#include "occ/matrix.h"

namespace occ {

class DistortionAccumulator {
 public:
  // Rows of the reference and the same rows of the reconstruction.
  void add(MatrixView<const float> reference, MatrixView<const float> reconstruction);
  void merge(const DistortionAccumulator& o);

  uint64_t elements() const { return elements_; }
  double mse() const;
  double nmse() const;
  double sqnr_db() const;
  double mae() const;
  double mre() const;
  double cosine() const;
  double max_abs() const;  // NaN if any difference is
  double squared_error() const { return sums_.squared_error; }
  double reference_energy() const { return sums_.energy; }

  struct Sums {
    double squared_error = 0;   // sum d^2
    double energy = 0;          // sum x^2
    double decoded_energy = 0;  // sum x'^2
    double product = 0;         // sum x x'
    double abs_error = 0;       // sum |d|
    double relative_error = 0;  // sum |d| / |x| over x != 0
    double nonzero = 0;         // count of x != 0
    double max_abs = 0;
  };

 private:
  Sums sums_;
  uint64_t elements_ = 0;
};

// Both matrices whole, on all threads, merged by panel.
DistortionAccumulator measure_distortion(MatrixView<const float> reference, MatrixView<const float> reconstruction);

}  // namespace occ
