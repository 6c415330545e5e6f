// Rate-distortion limits (Cover & Thomas, Elements of Information Theory, 2nd ed., ch. 10).
//   iid Gaussian:            D(R) = 2^(-2R), D = MSE / variance, R in bits per weight
//   independent Gaussians with variances l_i (reverse water-filling, theorem 10.3.3), per component:
//     D(theta) = 1/n sum min(theta, l_i)     R(theta) = 1/n sum max(0, 1/2 log2(l_i / theta))
// A gap is what a coder loses against the limit: 6.02 dB = 1 bit.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace occ {

double gaussian_distortion(double rate);
double gaussian_rate(double distortion);  // 0 from distortion 1 on; infinity at 0
// Bits per weight above the limit at this nmse.
double gap_bits(double rate, double nmse);
// 10 log10(nmse / D(rate)).
double gap_db(double rate, double nmse);

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

}  // namespace occ
