// Fast orthonormal DCT-II of any length on panels of 16 interleaved vectors (simd/panel.h), and its inverse.
//
//   C_k = c_k sqrt(2/n) sum_j x_j cos(pi (2j+1) k / (2n)),   c_0 = 1/sqrt(2), otherwise 1
//
// For n = 2^a m with m odd the transform is a recursion of orthogonal factors (Plonka & Tasche, "Fast and numerically
// stable algorithms for discrete cosine transforms", Linear Algebra Appl. 394, 2005, Theorem 2.1):
//   DCT-II(n)  the even outputs are the DCT-II(n/2) of the sums (x_j + x_{n-1-j})/sqrt(2), the odd outputs the
//              DCT-IV(n/2) of the differences
//   DCT-IV(n)  rotations by pi (2j+1)/(4n), two DCT-II(n/2), and one butterfly
// What differs from the paper: there are no permutations (outputs are written with a stride), reversed halves stay
// reversed (their signs are in the tables), and the lengths 8 and m are computed directly. Since every factor is
// orthogonal, the rounding error grows with log n only. Cost: O(n log n + n m); for m > 1,024 the matrix of length m is
// computed row by row when it is needed. Operations per vector are the same on every SIMD target, and the tables come
// from simd/trig.h, so that results are the same on every CPU.
#pragma once

#include <cstddef>
#include <vector>

namespace occ {

template <typename T>  // float for data, double for Hessians
class DctPlan {
 public:
  // n from 1 to kMaxLength, with an odd part m of at most kMaxOdd.
  static constexpr size_t kMaxLength = size_t{1} << 24;
  static constexpr size_t kMaxOdd = 65535;
  explicit DctPlan(size_t n);

  size_t size() const { return n_; }
  size_t scratch_size() const { return 16 * n_ + (odd_ > 1 && matrices_[kDct2].empty() ? 4 * odd_ : 0); }
  // Panels x, y and out [n, 16], scratch [scratch_size()]. The contents of x are destroyed. Arrays must not overlap.
  void forward(T* x, T* out, T* scratch) const;
  void inverse(const T* y, T* out, T* scratch) const;

  // For the kernel. Level L of the recursion has the length n >> L.
  size_t odd() const { return odd_; }
  size_t length(size_t level) const { return n_ >> level; }
  // {cos, sin, +-cos, +-sin} of pi (2j+1) / (4 length) for j < length / 2; the last two are negative for odd j.
  const T* rotations(size_t level) const { return rotations_[level].data(); }
  // The matrices [m, m] of the odd length m: DCT-II, its transpose, DCT-IV of a reversed input, its transpose. Null if
  // m is too large; fill_rows then computes rows of them.
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
