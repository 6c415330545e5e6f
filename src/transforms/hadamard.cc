// hadamard: orthonormal Walsh-Hadamard transform in natural order along rows (axis=in) or columns (axis=out), over the
// whole axis or consecutive blocks. Not random by itself: signs > hadamard is.
//
// A length n = 2^a m, m odd and > 1, is done without padding:
//   odd=kronecker  y = (D (x) H) x, D the orthonormal DCT-II matrix of size m, H the Hadamard matrix of size 2^a
//   odd=split      one Hadamard block per binary digit of n, largest first: 331 = 256 + 64 + 8 + 2 + 1
//   odd=auto       kronecker for m <= 64, otherwise split
// D replaces the tabulated Hadamard matrices of QuIP# (2402.04396, section 3), which exist for some m only.
// Cost: n log2 n additions, plus n m multiply-adds.
#include <array>
#include <bit>
#include <vector>

#include "simd/dct_plan.h"
#include "simd/fwht.h"
#include "simd/product.h"
#include "transforms/axis.h"

namespace occ {
namespace {

constexpr std::array<ParamSpec, 3> kParams = {
    block_param(), axis_param(),
    choice_param("odd", "auto", "auto|kronecker|split",
                 "lengths that are not powers of two: Kronecker product with a small DCT, or power-of-two blocks")};

constexpr size_t kMaxAutoOdd = 64;

// [m, m] rows of the DCT-II, or its transpose.
template <typename T>
Matrix<T> dct_matrix(size_t m, bool transposed) {
  Matrix<T> out(m, m);
  const DctPlan<T> plan(m);
  if (m > 1) plan.fill_rows(transposed ? DctPlan<T>::kDct3 : DctPlan<T>::kDct2, 0, m, out.data());
  return out;
}

// A Hadamard transform of one length.
class BlockPlan {
 public:
  BlockPlan(size_t n, const std::string& odd_choice, ErrorKind kind) : n_(n) {
    if (n == 0) return;
    const size_t power = n & (~n + 1), odd = n / power;
    if (odd == 1 || odd_choice == "kronecker" || (odd_choice == "auto" && odd <= kMaxAutoOdd)) {
      if (odd > kMaxMix) {
        throw Error(kind, fmt::format("hadamard: odd=kronecker expects a length 2^k * m with odd m up to {}, found {}",
                                      kMaxMix, n));
      }
      odd_ = odd;
      powers_ = {power};
      if (odd > 1) matrix_ = dct_matrix<float>(odd, false), transposed_ = dct_matrix<float>(odd, true);
      return;
    }
    for (size_t rest = n; rest != 0; rest -= powers_.back()) powers_.push_back(std::bit_floor(rest));
  }
  size_t size() const { return n_; }

  // `count` consecutive blocks of a row.
  void apply_row(float* x, size_t count, bool inverse) const {
    if (powers_.size() == 1) fwht(x, powers_[0], odd_ * count);
    for (size_t i = 0; i < count; ++i, x += n_) {
      if (odd_ > 1) mix_blocks(x, odd_, powers_[0], powers_[0], (inverse ? transposed_ : matrix_).data());
      if (powers_.size() == 1) continue;
      float* at = x;
      for (const size_t power : powers_) fwht(at, power, 1), at += power;
    }
  }
  // One block of a panel.
  template <typename T>
  void apply_panel(T* panel, const T* matrix) const {
    T* at = panel;
    for (const size_t power : powers_) {
      for (size_t i = 0; i < odd_; ++i, at += power * kPanelLanes) fwht_panel(at, power);
    }
    if (odd_ > 1) mix_blocks(panel, odd_, powers_[0] * kPanelLanes, powers_[0] * kPanelLanes, matrix);
  }
  const float* matrix(bool inverse) const { return (inverse ? transposed_ : matrix_).data(); }
  size_t odd() const { return odd_; }

 private:
  size_t n_;
  size_t odd_ = 1;              // > 1: Kronecker product with powers_[0]
  std::vector<size_t> powers_;  // blocks in order
  Matrix<float> matrix_, transposed_;
};

class Hadamard final : public Transform {
 public:
  Hadamard(const Params& params, Shape shape, ErrorKind kind)
      : axis_(axis_of(params)),
        length_(axis_length(axis_, shape)),
        block_(params.integer("block") == 0 ? length_ : std::min(length_, size_t(params.integer("block"))),
               params.choice("odd"), kind),
        rest_(block_.size() == 0 ? 0 : length_ % block_.size(), params.choice("odd"), kind) {}
  TransformTraits traits() const override { return axis_traits(axis_); }
  Granule granule() const override { return axis_granule(axis_); }

  void forward(const Rect&, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    apply(x, planes[0], false);
  }
  void inverse(const Rect&, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const override {
    apply(planes[0], x, true);
  }
  void transform_hessian(MatrixView<double> h) const override {
    if (axis_ == Axis::kOut) return Transform::transform_hessian(h);
    OCC_CHECK(h.rows() == length_);
    const Matrix<double> block_matrix = dct_matrix<double>(block_.odd(), false);
    const Matrix<double> rest_matrix = dct_matrix<double>(rest_.odd(), false);
    Matrix<double> panel = Matrix<double>::uninitialized(length_, kPanelLanes);
    congruence(h, [&](MatrixView<double> m) {
      for_each_column_panel(m, panel.data(), [&](double* p) {
        for (size_t i = 0; i < full_blocks(); ++i)
          block_.apply_panel(p + i * block_.size() * kPanelLanes, block_matrix.data());
        rest_.apply_panel(p + full_blocks() * block_.size() * kPanelLanes, rest_matrix.data());
      });
    });
  }

 private:
  size_t full_blocks() const { return block_.size() == 0 ? 0 : length_ / block_.size(); }

  void apply(MatrixView<const float> x, MatrixView<float> y, bool inverse) const {
    OCC_CHECK(axis_length(axis_, x.shape()) == length_);
    const size_t full = full_blocks(), end = full * block_.size();
    if (axis_ == Axis::kIn) {
      for (size_t r = 0; r < x.rows() && length_ != 0; ++r) {
        if (x.row(r) != y.row(r)) std::memcpy(y.row(r), x.row(r), length_ * sizeof(float));
        block_.apply_row(y.row(r), full, inverse);
        if (rest_.size() != 0) rest_.apply_row(y.row(r) + end, 1, inverse);
      }
      return;
    }
    Matrix<float> panel = Matrix<float>::uninitialized(block_.size(), kPanelLanes);
    for (size_t i = 0; i <= full; ++i) {
      const BlockPlan& plan = i < full ? block_ : rest_;
      if (plan.size() == 0) continue;
      for_each_panel(axis_, x, y, i * block_.size(), plan.size(), panel.data(), [&](float* p) {
        plan.apply_panel(p, plan.matrix(inverse));
        return p;
      });
    }
  }

  Axis axis_;
  size_t length_;
  BlockPlan block_, rest_;
};

}  // namespace

TransformEntry hadamard_entry() {
  return {"hadamard",
          "Walsh-Hadamard transform: spreads every weight over all",
          kParams,
          {},
          fit_by_shape<Hadamard>,
          load_by_shape<Hadamard>};
}

}  // namespace occ
