#include "metrics/weighted_error.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "metrics/distortion.h"

namespace occ {
namespace {

constexpr size_t kRows = 5, kCols = 7, kVectors = 40;

Matrix<float> normal(size_t rows, size_t cols, Rng* rng) {
  Matrix<float> out(rows, cols);
  for (size_t i = 0; i < out.size(); ++i) out.data()[i] = static_cast<float>(rng->normal());
  return out;
}

// Returns E[x x^T] over the rows of x.
Matrix<double> moments(const Matrix<float>& x) {
  Matrix<double> h(x.cols(), x.cols());
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t i = 0; i < x.cols(); ++i) {
      for (size_t k = 0; k < x.cols(); ++k) {
        h(i, k) += double{x(r, i)} * double{x(r, k)} / static_cast<double>(x.rows());
      }
    }
  }
  return h;
}

// Returns the mean of |W x|^2 over the input vectors x, computed one output at a time.
double output_energy(const Matrix<float>& w, const Matrix<float>& x) {
  double sum = 0;
  for (size_t v = 0; v < x.rows(); ++v) {
    for (size_t r = 0; r < w.rows(); ++r) {
      double y = 0;
      for (size_t c = 0; c < w.cols(); ++c) y += double{w(r, c)} * double{x(v, c)};
      sum += y * y / static_cast<double>(x.rows());
    }
  }
  return sum;
}

TEST(WeightedError, IsTheEnergyOfTheOutputs) {
  Rng rng(3);
  const Matrix<float> w = normal(kRows, kCols, &rng), e = normal(kRows, kCols, &rng), x = normal(kVectors, kCols, &rng);
  Matrix<float> decoded(kRows, kCols), h32(kCols, kCols);
  for (size_t i = 0; i < w.size(); ++i) decoded.data()[i] = w.data()[i] - e.data()[i];
  const Matrix<double> h = moments(x);
  for (size_t i = 0; i < h.size(); ++i) h32.data()[i] = static_cast<float>(h.data()[i]);
  const double energy = output_energy(w, x), error = output_energy(e, x);
  EXPECT_NEAR(weighted_energy(w.view(), h32.view()), energy, 1e-5 * energy);
  WeightedDistortion all, parts, part;
  all.add(w.view(), decoded.view(), h.view());
  EXPECT_NEAR(all.energy, energy, 1e-9 * energy);
  EXPECT_NEAR(all.nmse(), error / energy, 1e-5 * all.nmse());
  parts.add(w.view().row_range(0, 2), decoded.view().row_range(0, 2), h.view());
  part.add(w.view().row_range(2, 3), decoded.view().row_range(2, 3), h.view());
  parts.merge(part);
  EXPECT_NEAR(parts.nmse(), all.nmse(), 1e-12);
}

TEST(WeightedError, OfAnIdentityIsThePlainError) {
  Rng rng(4);
  const Matrix<float> w = normal(kRows, kCols, &rng), decoded = normal(kRows, kCols, &rng);
  Matrix<double> h(kCols, kCols);
  for (size_t i = 0; i < kCols; ++i) h(i, i) = 1;
  const DistortionAccumulator plain = measure_distortion(w.view(), decoded.view());
  WeightedDistortion weighted;
  weighted.add(w.view(), decoded.view(), h.view());
  EXPECT_NEAR(weighted.nmse(), plain.nmse(), 1e-12);
  EXPECT_NEAR(relative_to_white(weighted.error, plain.reference_energy(), h.view()), plain.nmse(), 1e-12);
  for (size_t i = 0; i < kCols; ++i) h(i, i) = 8;
  WeightedDistortion scaled;
  scaled.add(w.view(), decoded.view(), h.view());
  EXPECT_NEAR(relative_to_white(scaled.error, plain.reference_energy(), h.view()), plain.nmse(), 1e-12);
  EXPECT_EQ(relative_to_white(-1e-20, 1, h.view()), 0);
  EXPECT_EQ(relative_to_white(1, 0, h.view()), 0);
  EXPECT_EQ(WeightedDistortion().nmse(), 0);
}

}  // namespace
}  // namespace occ
