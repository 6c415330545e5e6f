// Fast orthonormal DCT-II of any length on panels of 16 interleaved vectors (simd/panel.h), and its inverse.
//
//   C_k = c_k sqrt(2/n) sum_j x_j cos(pi (2j+1) k / (2n)),   c_0 = 1/sqrt(2), otherwise 1
//
// For n = 2^a m, m odd: recursion by orthogonal factors only (Plonka & Tasche, "Fast and numerically stable algorithms
// for discrete cosine transforms", Linear Algebra Appl. 394, 2005, Theorem 2.1):
//   DCT-II(n) = DCT-II(n/2) of (x_j + x_{n-1-j})/sqrt(2) -> even outputs, DCT-IV(n/2) of the differences -> odd
//   outputs; DCT-IV(n) = rotations by pi (2j+1)/(4n), two DCT-II(n/2), and one butterfly.
// Differences to the paper: no permutations (outputs are written with a stride), reversed halves stay reversed (their
// signs go into the tables), lengths 8 and m are done directly. Every factor is orthogonal, so the rounding error grows
// with log n only. Cost: O(n log n + n m); m > 1,024 makes its matrix on the fly.
// Operations per vector are the same on every SIMD target; tables come from simd/trig.h.
#pragma once

#include <cstddef>
#include <vector>

namespace occ {

template <typename T>  // float for data, double for Hessians
class DctPlan {
 public:
  // 1 <= n <= kMaxLength, odd part <= kMaxOdd.
  static constexpr size_t kMaxLength = size_t{1} << 24;
  static constexpr size_t kMaxOdd = 65535;
  explicit DctPlan(size_t n);

  size_t size() const { return n_; }
  size_t scratch_size() const { return 16 * n_ + (odd_ > 1 && matrices_[kDct2].empty() ? 4 * odd_ : 0); }
  // x, y, out [n * 16], scratch [scratch_size()]; x is destroyed; arrays are disjoint.
  void forward(T* x, T* out, T* scratch) const;
  void inverse(const T* y, T* out, T* scratch) const;

  // For the kernel. Level L is the length n >> L.
  size_t odd() const { return odd_; }
  size_t length(size_t level) const { return n_ >> level; }
  // {cos, sin, +-cos, +-sin} of pi (2j+1) / (4 length), j < length / 2, minus for odd j.
  const T* rotations(size_t level) const { return rotations_[level].data(); }
  // Matrices of the odd length [m, m]: DCT-II, its transpose, DCT-IV of a reversed input, its transpose. Null if m is
  // too long: then fill_rows makes some rows of them.
  enum Kind { kDct2, kDct3, kDct4, kDct4Transposed };
  const T* matrix(Kind kind) const { return matrices_[kind].empty() ? nullptr : matrices_[kind].data(); }
  void fill_rows(Kind kind, size_t row, size_t count, T* rows) const;

 private:
  size_t n_;
  size_t odd_;
  std::vector<std::vector<T>> rotations_;
  std::vector<T> matrices_[4];
  std::vector<double> cosines_;  // cos(pi t / (4m)), t < 8m
};

extern template class DctPlan<float>;
extern template class DctPlan<double>;

}  // namespace occ
