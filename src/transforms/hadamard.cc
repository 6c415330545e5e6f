// The stage `hadamard`: the orthonormal Walsh-Hadamard transform in natural order of rows (axis=in) or columns
// (axis=out), whole or in blocks. It has nothing random; the recipe signs > hadamard has.
//
// A length n = 2^a m with an odd m > 1 needs no padding:
//   odd=kronecker  y = (D (x) H) x with the orthonormal DCT-II matrix D of size m and the Hadamard matrix H of size 2^a
//   odd=split      one Hadamard transform for every binary digit of n, largest first: 331 = 256 + 64 + 8 + 2 + 1
//   odd=auto       kronecker for m <= 64, otherwise split
// D takes the place of the tabulated Hadamard matrices of QuIP# (arXiv 2402.04396, section 3), which exist for some m
// only. Cost: n log2 n additions and n m multiply-adds.
#include <array>
#include <bit>
#include <vector>

#include "simd/dct_plan.h"
#include "simd/fwht.h"
#include "simd/product.h"
#include "transforms/block_transform.h"

namespace occ {
namespace {

constexpr std::array<ParamSpec, 3> kParams = {
    block_param(), axis_param(),
    choice_param("odd", "auto", "auto|kronecker|split",
                 "lengths that are not powers of two: Kronecker product with a small DCT, or power-of-two blocks")};

constexpr size_t kMaxAutoOdd = 64;

// Returns the matrix [m, m] whose rows are those of the DCT-II, or its transpose.
template <typename T>
Matrix<T> dct_matrix(size_t m, bool transposed) {
  Matrix<T> out(m, m);
  const DctPlan<T> plan(m);
  if (m > 1) plan.fill_rows(transposed ? DctPlan<T>::kDct3 : DctPlan<T>::kDct2, 0, m, out.data());
  return out;
}

}  // namespace

template <typename T>
class HadamardPlan {
 public:
  HadamardPlan(size_t n, const Params& params, ErrorKind kind) : n_(n) {
    const std::string& odd_choice = params.choice("odd");
    const size_t power = n & (~n + 1), odd = n / power;
    if (odd == 1 || odd_choice == "kronecker" || (odd_choice == "auto" && odd <= kMaxAutoOdd)) {
      if (odd > kMaxMix) {
        throw Error(kind, fmt::format("hadamard: odd=kronecker expects a length 2^k * m with odd m up to {}, found {}",
                                      kMaxMix, n));
      }
      odd_ = odd;
      powers_ = {power};
      if (odd > 1) matrix_ = dct_matrix<T>(odd, false), transposed_ = dct_matrix<T>(odd, true);
      return;
    }
    for (size_t rest = n; rest != 0; rest -= powers_.back()) powers_.push_back(std::bit_floor(rest));
  }
  size_t size() const { return n_; }
  size_t work_size() const { return 0; }
  const T* map(T* panel, T* /*work*/, bool inverse) const {
    T* at = panel;
    for (const size_t power : powers_) {
      for (size_t i = 0; i < odd_; ++i, at += power * kPanelLanes) fwht_panel(at, power);
    }
    if (odd_ > 1) mix_blocks(panel, odd_, powers_[0] * kPanelLanes, powers_[0] * kPanelLanes, matrix(inverse));
    return panel;
  }
  void map_blocks(float* x, size_t count, bool inverse) const {
    if (powers_.size() == 1) fwht(x, powers_[0], odd_ * count);
    for (size_t i = 0; i < count; ++i, x += n_) {
      if (odd_ > 1) mix_blocks(x, odd_, powers_[0], powers_[0], matrix(inverse));
      if (powers_.size() == 1) continue;
      float* at = x;
      for (const size_t power : powers_) fwht(at, power, 1), at += power;
    }
  }

 private:
  const T* matrix(bool inverse) const { return (inverse ? transposed_ : matrix_).data(); }

  size_t n_;
  size_t odd_ = 1;              // if > 1: the transform is a Kronecker product with powers_[0]
  std::vector<size_t> powers_;  // sizes of the blocks in order
  Matrix<T> matrix_, transposed_;
};

TransformEntry hadamard_entry() {
  return {.name = "hadamard",
          .summary = "Walsh-Hadamard transform: spreads every weight over all columns",
          .params = kParams,
          .planes = {},
          .fit = fit_by_shape<BlockTransform<HadamardPlan>>,
          .load = load_by_shape<BlockTransform<HadamardPlan>>,
          .roles = {.candidate = [](Shape, size_t, uint64_t seed) {
            return fmt::format("signs(seed={}) > hadamard", seed);
          }}};
}

}  // namespace occ
