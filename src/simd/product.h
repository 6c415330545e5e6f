// Matrix products with a fixed order of sums (simd/product-inl.h), which give the same floats on every CPU, unlike
// BLAS. Meant for decoding. They reach about 80 % of the rate of unfused multiply-adds of one core.
#pragma once

#include <cstddef>

#include "occ/matrix.h"

namespace occ {

// A matrix b [k, n] stored in panels of 16 columns, the last of them padded with zeros.
template <typename T>
class PackedMatrix {
 public:
  PackedMatrix() = default;
  // A matrix of zeros.
  PackedMatrix(size_t k, size_t n) : k_(k), n_(n), data_((n + 15) / 16, k * 16) {}
  explicit PackedMatrix(MatrixView<const T> b) : PackedMatrix(b.rows(), b.cols()) {
    for (size_t r = 0; r < b.rows(); ++r) {
      for (size_t c = 0; c < b.cols(); ++c) at(r, c) = b(r, c);
    }
  }
  size_t k() const { return k_; }
  size_t n() const { return n_; }
  T& at(size_t r, size_t c) { return data_(c / 16, r * 16 + c % 16); }
  T at(size_t r, size_t c) const { return data_(c / 16, r * 16 + c % 16); }
  const T* panel(size_t i) const { return data_.row(i); }

 private:
  size_t k_ = 0;
  size_t n_ = 0;
  Matrix<T> data_;
};

// out [rows, n] = a [rows, k] b [k, n]. out must not overlap a.
void ordered_product(MatrixView<const float> a, const PackedMatrix<float>& b, MatrixView<float> out);
void ordered_product(MatrixView<const double> a, const PackedMatrix<double>& b, MatrixView<double> out);

// Replaces m blocks of `width` elements, the i-th at data + i * stride, by their linear combinations with a contiguous
// matrix [m, m]: block i becomes sum_l matrix[i][l] block l. m <= kMaxMix.
inline constexpr size_t kMaxMix = 255;
void mix_blocks(float* data, size_t m, size_t stride, size_t width, const float* matrix);
void mix_blocks(double* data, size_t m, size_t stride, size_t width, const double* matrix);

}  // namespace occ
