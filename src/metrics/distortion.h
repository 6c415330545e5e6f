// How far a reconstruction x' is from its reference x. With d = x - x' and sums over all n elements:
//   mse = sum d^2 / n, mae = sum |d| / n, max_abs = max |d|
//   nmse = sum d^2 / sum x^2, the normalised squared error; 0 if both sums are 0, infinity if only the second is 0
//   sqnr_db = -10 log10 nmse, the signal-to-quantization-noise ratio in dB
//   mre = mean of |d| / |x| over the elements with x != 0; 0 if there are none
//   cosine = <x, x'> / (|x| |x'|) of the flattened tensors; 1 if both are zero, 0 if one of them is
// The figures are the same on every CPU: everything is summed in double, without fused multiply-adds, in eight partial
// sums that do not depend on the vector width. They do not depend on the number of threads if accumulators are merged
// in a fixed order. The measurement takes one pass over both tensors.
#pragma once

#include <cstdint>

#include "occ/matrix.h"

namespace occ {

class DistortionAccumulator {
 public:
  // Adds rows of the reference and the same rows of the reconstruction; both matrices have the same shape.
  void add(MatrixView<const float> reference, MatrixView<const float> reconstruction);
  void merge(const DistortionAccumulator& o);

  uint64_t elements() const { return elements_; }
  double mse() const;
  double nmse() const;
  double sqnr_db() const;
  double mae() const;
  double mre() const;
  double cosine() const;
  double max_abs() const;  // NaN if any difference is NaN
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

// Measures both matrices as a whole with all threads. The result does not depend on the number of threads.
DistortionAccumulator measure_distortion(MatrixView<const float> reference, MatrixView<const float> reconstruction);

}  // namespace occ
