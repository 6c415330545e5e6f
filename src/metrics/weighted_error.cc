#include "metrics/weighted_error.h"

#include <algorithm>

#include "linalg/linalg.h"

namespace occ {
namespace {

template <typename T>
double energy_of(MatrixView<const T> x, MatrixView<const T> h) {
  Matrix<T> xh = Matrix<T>::uninitialized(x.rows(), x.cols());
  gemm(Op::kNone, Op::kNone, T{1}, x, h, T{0}, xh.view());
  double sum = 0;
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); ++c) sum += static_cast<double>(x(r, c)) * static_cast<double>(xh(r, c));
  }
  return sum;
}

}  // namespace

double weighted_energy(MatrixView<const float> x, MatrixView<const float> h) { return energy_of(x, h); }
double weighted_energy(MatrixView<const double> x, MatrixView<const double> h) { return energy_of(x, h); }

double relative_to_white(double error, double energy, MatrixView<const double> h) {
  double mean = 0;
  for (size_t i = 0; i < h.cols(); ++i) mean += h(i, i) / static_cast<double>(h.cols());
  return energy * mean > 0 ? std::max(error, 0.0) / (energy * mean) : 0;
}

void WeightedDistortion::add(MatrixView<const float> reference, MatrixView<const float> reconstruction,
                             MatrixView<const double> h) {
  Matrix<double> x = Matrix<double>::uninitialized(reference.rows(), reference.cols());
  const auto energy_with = [&](auto value) {
    for (size_t r = 0; r < x.rows(); ++r) {
      for (size_t c = 0; c < x.cols(); ++c) x(r, c) = value(double{reference(r, c)}, double{reconstruction(r, c)});
    }
    return std::max(weighted_energy(x.view(), h), 0.0);
  };
  error += energy_with([](double a, double b) { return a - b; });
  energy += energy_with([](double a, double) { return a; });
}

}  // namespace occ
