// How the values of a tensor are distributed. This decides what a change of the coordinate system can gain, either by
// spreading outliers over many values (flattening) or by gathering the energy in few values (concentration).
//   kurtosis          m4 / m2^2 of the central moments; 3 for a Gaussian, 0 for a constant
//   max_over_rms      max |x| / sqrt(mean x^2)
//   outlier_ratio     |x|_inf / |x|_2
//   beyond_3_sigma    fraction of the elements with |x - mean| > 3 sigma; 0.0027 for a Gaussian
//   top_energy(f)     share of sum x^2 in the fraction f of the elements that have the largest magnitudes
// The last two come from a histogram over the upper 16 bits of |x| as f32, so that one pass is enough. Its buckets are
// 0.8 % wide, and beyond_3_sigma and top_energy interpolate within a bucket. beyond_3_sigma takes the mean as 0,
// because the mean of weights is far below sigma. Moments are computed about the mean of each panel of rows and merged
// by Pebay's formulas (SAND2008-6212). An accumulator takes 512 KiB of memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "occ/matrix.h"

namespace occ {

class ConcentrationAccumulator {
 public:
  void add(MatrixView<const float> rows);  // values must be finite
  void merge(const ConcentrationAccumulator& o);

  uint64_t elements() const { return elements_; }
  double mean() const { return mean_; }
  double variance() const;
  double rms() const;
  double max_abs() const { return max_abs_; }
  double kurtosis() const;
  double max_over_rms() const;
  double outlier_ratio() const;
  double beyond_3_sigma() const;
  double top_energy(double fraction) const;

 private:
  struct Bucket {
    uint64_t count = 0;
    double energy = 0;
  };
  uint64_t elements_ = 0;
  double mean_ = 0, m2_ = 0, m3_ = 0, m4_ = 0;  // sums of powers of x - mean
  double energy_ = 0, max_abs_ = 0;
  std::vector<Bucket> buckets_;  // empty, or 32,768 buckets
};

// Measures the whole matrix with all threads. The result does not depend on the number of threads.
ConcentrationAccumulator measure_concentration(MatrixView<const float> x);

// The coding gain in bits per component: how much less a code takes that treats components with these variances
// separately than one that treats them all in the same way. It is 1/2 log2(arithmetic mean / geometric mean). Variances
// below relative_floor times their mean count as that; a variance of zero without such a floor gives infinity.
double coding_gain_bits(std::span<const double> variances, double relative_floor = 0);
// The effective rank (Roy & Vetterli 2007): exp of the entropy of the normalised eigenvalues. It is n when all n
// eigenvalues are equal, and 1 when only one of them is not zero.
double effective_rank(std::span<const double> eigenvalues);
// The participation ratio (sum e)^2 / sum e^2: how many of n components with these energies hold most of the energy. It is
// n when all are equal and 1 when only one is not zero, and weighs small energies less than effective_rank.
double participation_ratio(std::span<const double> energies);

}  // namespace occ
