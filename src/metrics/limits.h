// Rate-distortion limits (Cover & Thomas, Elements of Information Theory, 2nd ed., ch. 10).
//   independent Gaussian weights of one variance:
//     D(R) = 2^(-2R), D = MSE / variance, R in bits per weight
//   independent Gaussians with variances l_i (reverse water-filling, theorem 10.3.3), per component:
//     D(theta) = 1/n sum min(theta, l_i)     R(theta) = 1/n sum max(0, 1/2 log2(l_i / theta))
// A gap is the loss of a coder against the limit. In error it is measured in dB, in rate in bits; 6.02 dB are 1 bit.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace occ {

// D(R) and its inverse R(D). The rate is 0 for a distortion of 1 or more, and infinite for a distortion of 0.
double gaussian_distortion(double rate);
double gaussian_rate(double distortion);
struct WaterFilling {
  double theta = 0;       // water level, in units of the variances
  double rate = 0;        // bits per component
  double distortion = 0;  // mean squared error per component
};
// Reverse water-filling at a given water level, rate or distortion. The variances (eigenvalues) must be >= 0;
// components of zero variance need no bits. A call takes n steps, or up to 200 n where theta must be searched.
WaterFilling water_filling_at(std::span<const double> variances, double theta);
WaterFilling water_filling_for_rate(std::span<const double> variances, double rate);
WaterFilling water_filling_for_distortion(std::span<const double> variances, double distortion);

// A profile keeps the spectrum of a matrix in at most 32 bytes. The eigenvalues l_i are sorted in ascending order and
// cut into 32 parts of equal size, or into single eigenvalues where there are fewer than 32. Every byte is the mean of
// log2(l_i / mean l) over one part, in quarters of an octave, plus 192. The bytes are rounded so that the rounding
// errors do not add up. Eigenvalues below 2^-48 of the mean count as that. The profile is empty if the mean is not
// positive. Limits that are computed from a profile are within 0.005 bit of those of the eigenvalues.
inline constexpr size_t kProfileSize = 32;
std::vector<uint8_t> eigenvalue_profile(std::span<const double> eigenvalues);
// Returns the variances that a profile stands for, in units of the mean eigenvalue.
std::vector<double> profile_variances(std::span<const uint8_t> profile);
// Returns the products of all pairs of a column variance and a row variance, for a matrix whose rows have a profile of
// their own. An empty `rows` means that all rows have the same variance.
std::vector<double> profile_variances(std::span<const uint8_t> columns, std::span<const uint8_t> rows);

// How far a code is from the rate-distortion limit.
struct Gap {
  double bpw = 0;        // bits per weight of the code
  double error = 0;      // normalised squared error of the code
  double limit_bpw = 0;  // least bits per weight at that error
  double gap_db = 0;     // 10 log10(error / least error at these bits)
  double gap_bits() const { return bpw - limit_bpw; }
};
// The gap of a code with this nmse, for independent Gaussian weights that all have the same variance.
Gap gaussian_gap(double bpw, double nmse);
// The limit and the gap of a code with this weighted error (relative_to_white in weighted_error.h). The limit is that
// of independent Gaussian weights, by reverse water-filling over the eigenvalues of the second moments of the inputs.
// Both spans are profiles as above. If the rows have weights, row_energies is the profile of the energies of the
// weighted rows; otherwise it is empty. weighted_rate returns only the least bits per weight.
double weighted_rate(double weighted_error, std::span<const uint8_t> eigenvalues,
                     std::span<const uint8_t> row_energies);
Gap weighted_gap(double bpw, double weighted_error, std::span<const uint8_t> eigenvalues,
                 std::span<const uint8_t> row_energies);

// The mean gap of several tensors, weighted by their numbers of elements. Bits and limits are averaged, and so are the
// errors, as if all weights had the same variance. A tensor without any error, or with an error that is not finite, has
// no limit and is left out.
class GapMean {
 public:
  void add(const Gap& gap, uint64_t elements);
  // Returns nothing if no tensor has a limit. gap_db follows from the mean gap in bits, with 6.02 dB for each bit.
  std::optional<Gap> mean() const;

 private:
  Gap sums_;
  double elements_ = 0;
};

}  // namespace occ
