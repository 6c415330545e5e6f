// How a tensor's values are spread: what a coordinate system can gain (design: two regimes, flattening and
// concentration).
//   kurtosis          m4 / m2^2 about the mean; 3 for a Gaussian, 0 for a constant
//   max_over_rms      max |x| / sqrt(mean x^2)            outlier_ratio   |x|_inf / |x|_2
//   beyond_3_sigma    fraction of |x - mean| > 3 sigma; .0027 for a Gaussian
//   top_energy(f)     share of sum x^2 held by the fraction f of elements of largest magnitude
// The last two come from a histogram over the upper 16 bits of |x| as f32 (buckets 0.8 % wide, interpolated), so that
// one pass is enough; beyond_3_sigma takes the mean as 0 (it is far below sigma in weights). Moments are centred per
// panel and merged by Pebay's formulas (SAND2008-6212). Memory: 512 KiB per accumulator.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "occ/matrix.h"

namespace occ {

class ConcentrationAccumulator {
 public:
  void add(MatrixView<const float> rows);  // finite values
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
  double mean_ = 0, m2_ = 0, m3_ = 0, m4_ = 0;  // central sums
  double energy_ = 0, max_abs_ = 0;
  std::vector<Bucket> buckets_;  // empty or 32,768
};

// The whole matrix on all threads, merged by panel.
ConcentrationAccumulator measure_concentration(MatrixView<const float> x);

// Gain of coding components with these variances apart over coding them alike: 1/2 log2(arithmetic / geometric mean),
// in bits per component. Infinite when one is zero, unless variances are raised to relative_floor times their mean.
double coding_gain_bits(std::span<const double> variances, double relative_floor = 0);
// exp of the entropy of the normalised eigenvalues (Roy & Vetterli 2007): n when all are equal, 1 when one is left.
double effective_rank(std::span<const double> eigenvalues);

}  // namespace occ
