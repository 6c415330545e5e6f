// The rate-distortion limit of several tensors together: tensor i has n_i independent Gaussian weights of variance v_i.
// Reverse water-filling (Cover & Thomas, 2nd ed., theorem 10.3.3) at the level theta gives
//   nmse = sum n_i min(theta, v_i) / sum n_i v_i      bits per weight = sum n_i max(0, 1/2 log2(v_i / theta)) / sum n_i
// Codes that know more of the weights than the variance of their tensor, such as that of every row, may get below it.
#pragma once

#include <cstdint>
#include <vector>

namespace occ {

class TensorLimit {
 public:
  // A tensor with the sum of the squares of its weights.
  void add(uint64_t elements, double energy);
  double nmse_at(double bits) const;  // least nmse at this number of bits per weight; 1 for 0 bits
  double bits_at(double nmse) const;  // fewest bits per weight; 0 for an nmse of 1 or more, infinity for 0

 private:
  struct Tensor {
    double elements = 0, variance = 0;
  };
  struct Point {
    double bits = 0, nmse = 0;
  };
  Point at(double log2_theta) const;
  template <typename Low>
  Point search(const Low& too_low) const;

  std::vector<Tensor> tensors_;
  double elements_ = 0, energy_ = 0;
};

}  // namespace occ
