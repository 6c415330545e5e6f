// Rate-distortion limits (Cover & Thomas, Elements of Information Theory, 2nd ed., ch. 10).
//   iid Gaussian:            D(R) = 2^(-2R), D = MSE / variance, R in bits per weight
//   independent Gaussians with variances l_i (reverse water-filling, theorem 10.3.3), per component:
//     D(theta) = 1/n sum min(theta, l_i)     R(theta) = 1/n sum max(0, 1/2 log2(l_i / theta))
// A gap is what a coder loses against the limit: 6.02 dB = 1 bit.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace occ {

double gaussian_distortion(double rate);
double gaussian_rate(double distortion);  // 0 from distortion 1 on; infinity at 0
struct WaterFilling {
  double theta = 0;       // water level, in units of the variances
  double rate = 0;        // bits per component
  double distortion = 0;  // mean squared error per component
};
// Variances (eigenvalues) are >= 0; zero ones cost nothing. Cost: n per call, or 200 n when theta is searched.
WaterFilling water_filling_at(std::span<const double> variances, double theta);
WaterFilling water_filling_for_rate(std::span<const double> variances, double rate);
WaterFilling water_filling_for_distortion(std::span<const double> variances, double distortion);

// A spectrum in at most 32 bytes: the mean of log2(l_i / mean l) over every 1/32 of the eigenvalues in rising order
// (over each of them where there are fewer), in quarter octaves plus 192, rounded so that the errors do not add up.
// Values below 2^-48 of the mean count as that. Empty if the mean is not positive. Limits from it are within 0.005 bit
// of those of the eigenvalues themselves.
inline constexpr size_t kProfileSize = 32;
std::vector<uint8_t> eigenvalue_profile(std::span<const double> eigenvalues);
// Variances in units of the mean eigenvalue.
std::vector<double> profile_variances(std::span<const uint8_t> profile);
// Of all pairs of a column and a row of a matrix, if rows have a profile of their own (empty: all alike).
std::vector<double> profile_variances(std::span<const uint8_t> columns, std::span<const uint8_t> rows);

// How far a code stands from what no code can beat.
struct Gap {
  double bpw = 0;        // bits per weight of the code
  double error = 0;      // its normalised squared error
  double limit_bpw = 0;  // least bits per weight at that error
  double gap_db = 0;     // 10 log10 of the error over the least one at those bits
  double gap_bits() const { return bpw - limit_bpw; }
};
// Of independent Gaussian weights of one variance, which have this nmse.
Gap gaussian_gap(double bpw, double nmse);
// Of white Gaussian weights of the same energy (by row, where rows have weights) and their weighted error: reverse
// water-filling over the eigenvalues of the second moments of the inputs. Profiles as above. The rate alone, or all.
double weighted_rate(double weighted_error, std::span<const uint8_t> eigenvalues,
                     std::span<const uint8_t> row_energies);
Gap weighted_gap(double bpw, double weighted_error, std::span<const uint8_t> eigenvalues,
                 std::span<const uint8_t> row_energies);

// Gaps of several tensors: bits add up, and so do the limits; errors are averaged as if all weights had the same
// variance. A tensor without any error, or whose error is not finite, has no limit and stays out.
class GapMean {
 public:
  void add(const Gap& gap, uint64_t elements);
  std::optional<Gap> mean() const;  // gap_db is that of the mean bits: 6.02 dB each

 private:
  Gap sums_;
  double elements_ = 0;
};

}  // namespace occ
