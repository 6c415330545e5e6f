// dct, dst: orthonormal DCT-II and DST-II along rows (axis=in) or columns (axis=out), whole or in blocks.
//   DCT-II  y_k = c_k sqrt(2/n) sum_j x_j cos(pi (2j+1) k / (2n)),          k = 0 .. n-1
//   DST-II  y_k = c_(n-1-k) sqrt(2/n) sum_j x_j sin(pi (2j+1) (k+1) / (2n))
// with c_0 = 1/sqrt(2), otherwise 1. The DST is the DCT of (-1)^j x_j in reverse order. Fast algorithm, sources and
// cost: dct_plan.h. Smooth data goes to the low k (the first for dct, none constant for dst).
#include <array>
#include <optional>

#include "simd/dct_plan.h"
#include "transforms/axis.h"

namespace occ {
namespace {

constexpr std::array<ParamSpec, 2> kParams = {block_param(), axis_param()};

template <typename T>
void negate_odd_rows(T* panel, size_t n) {
  for (size_t i = 1; i < n; i += 2) {
    for (size_t v = 0; v < kPanelLanes; ++v) panel[i * kPanelLanes + v] = -panel[i * kPanelLanes + v];
  }
}
template <typename T>
void reverse_rows(T* panel, size_t n) {
  for (size_t i = 0; i < n / 2; ++i) {
    std::swap_ranges(panel + i * kPanelLanes, panel + (i + 1) * kPanelLanes, panel + (n - 1 - i) * kPanelLanes);
  }
}

template <bool kSine>
class TrigTransform final : public Transform {
 public:
  TrigTransform(const Params& params, Shape shape, ErrorKind kind)
      : axis_(axis_of(params)), length_(axis_length(axis_, shape)), block_(size_t(params.integer("block"))) {
    if (block_ == 0 || block_ > length_) block_ = length_;
    if (length_ == 0) return;
    check(block_, kind);
    block_plan_.emplace(block_);
    if (length_ % block_ == 0) return;
    check(length_ % block_, kind);
    rest_plan_.emplace(length_ % block_);
  }
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
    if (length_ == 0) return;
    const DctPlan<double> block_plan(block_);
    std::optional<DctPlan<double>> rest_plan;
    if (rest_plan_) rest_plan.emplace(rest_plan_->size());
    Scratch<double> scratch(block_plan, rest_plan);
    Matrix<double> strip = Matrix<double>::uninitialized(length_, kPanelLanes);
    congruence(h, [&](MatrixView<double> m) {
      for_each_column_panel(m, strip.data(), [&](double* p) {
        for (size_t at = 0; at < length_; at += block_, p += block_ * kPanelLanes) {
          const DctPlan<double>& plan = length_ - at >= block_ ? block_plan : *rest_plan;
          const double* out = transform_panel(plan, p, scratch, false);
          std::copy_n(out, plan.size() * kPanelLanes, p);
        }
      });
    });
  }

 private:
  template <typename T>
  struct Scratch {
    Scratch(const DctPlan<T>& plan, const std::optional<DctPlan<T>>& rest)
        : panel(Matrix<T>::uninitialized(plan.size(), kPanelLanes)),
          out(Matrix<T>::uninitialized(plan.size(), kPanelLanes)),
          work(Matrix<T>::uninitialized(1, std::max(plan.scratch_size(), rest ? rest->scratch_size() : 0))) {}
    Matrix<T> panel, out, work;
  };

  static void check(size_t n, ErrorKind kind) {
    const size_t odd = n / (n & (~n + 1));
    if (n <= DctPlan<float>::kMaxLength && odd <= DctPlan<float>::kMaxOdd) return;
    throw Error(kind, fmt::format("{}: expects a length up to {} with an odd part up to {}, found {}",
                                  kSine ? "dst" : "dct", DctPlan<float>::kMaxLength, DctPlan<float>::kMaxOdd, n));
  }

  // p is destroyed; the result is in scratch.out.
  template <typename T>
  static const T* transform_panel(const DctPlan<T>& plan, T* p, Scratch<T>& scratch, bool inverse) {
    T* out = scratch.out.data();
    if (kSine) inverse ? reverse_rows(p, plan.size()) : negate_odd_rows(p, plan.size());
    inverse ? plan.inverse(p, out, scratch.work.data()) : plan.forward(p, out, scratch.work.data());
    if (kSine) inverse ? negate_odd_rows(out, plan.size()) : reverse_rows(out, plan.size());
    return out;
  }

  void apply(MatrixView<const float> x, MatrixView<float> y, bool inverse) const {
    OCC_CHECK(axis_length(axis_, x.shape()) == length_);
    if (x.size() == 0) return;
    Scratch<float> scratch(*block_plan_, rest_plan_);
    for (size_t at = 0; at < length_; at += block_) {
      const DctPlan<float>& plan = length_ - at >= block_ ? *block_plan_ : *rest_plan_;
      for_each_panel(axis_, x, y, at, plan.size(), scratch.panel.data(),
                     [&](float* p) { return transform_panel(plan, p, scratch, inverse); });
    }
  }

  Axis axis_;
  size_t length_;
  size_t block_;
  std::optional<DctPlan<float>> block_plan_, rest_plan_;
};

}  // namespace

TransformEntry dct_entry() {
  return {"dct", "discrete cosine transform (DCT-II)", kParams,
          {},    fit_by_shape<TrigTransform<false>>,   load_by_shape<TrigTransform<false>>};
}
TransformEntry dst_entry() {
  return {"dst", "discrete sine transform (DST-II)", kParams,
          {},    fit_by_shape<TrigTransform<true>>,  load_by_shape<TrigTransform<true>>};
}

}  // namespace occ
