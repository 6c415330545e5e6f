#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "metrics/distortion.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must be included before highway.h.
#include "hwy/highway.h"
#include "metrics/distortion.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kLanes = 8;  // partial sums of each kind; the vector width does not change this number

struct Partials {
  HWY_ALIGN double v[8][kLanes];
};

// Adds eight elements. They become f64 first, so that their squares neither overflow nor underflow.
HWY_INLINE void add_eight(const float* HWY_RESTRICT x, const float* HWY_RESTRICT y, Partials& p) {
  const hn::CappedTag<double, kLanes> d;
  const hn::Rebind<float, decltype(d)> df;
  for (size_t j = 0; j < kLanes; j += hn::Lanes(d)) {
    const auto a = hn::PromoteTo(d, hn::LoadU(df, x + j));
    const auto b = hn::PromoteTo(d, hn::LoadU(df, y + j));
    const auto error = hn::Abs(hn::Sub(a, b));
    const auto zero = hn::Eq(a, hn::Zero(d));
    const auto relative = hn::Div(error, hn::IfThenElse(zero, hn::Set(d, 1.0), hn::Abs(a)));
    const auto accumulate = [&](size_t i, auto v)
                                HWY_ATTR { hn::Store(hn::Add(hn::Load(d, p.v[i] + j), v), d, p.v[i] + j); };
    accumulate(0, hn::Mul(error, error));
    accumulate(1, hn::Mul(a, a));
    accumulate(2, hn::Mul(b, b));
    accumulate(3, hn::Mul(a, b));
    accumulate(4, error);
    accumulate(5, hn::IfThenZeroElse(zero, relative));
    accumulate(6, hn::IfThenZeroElse(zero, hn::Set(d, 1.0)));
    hn::Store(hn::Max(hn::Load(d, p.v[7] + j), error), d, p.v[7] + j);
  }
}

void AddDistortion(MatrixView<const float> x, MatrixView<const float> y, DistortionAccumulator::Sums* out) {
  Partials p = {};
  for (size_t r = 0; r < x.rows(); ++r) {
    const float* a = x.row(r);
    const float* b = y.row(r);
    size_t c = 0;
    for (; c + kLanes <= x.cols(); c += kLanes) add_eight(a + c, b + c, p);
    if (c < x.cols()) {  // the rest is padded with zeros, which add nothing to any sum
      float pad_a[kLanes] = {}, pad_b[kLanes] = {};
      for (size_t i = 0; c + i < x.cols(); ++i) pad_a[i] = a[c + i], pad_b[i] = b[c + i];
      add_eight(pad_a, pad_b, p);
    }
  }
  double sum[7] = {};
  for (size_t i = 0; i < 7; ++i) {
    for (size_t j = 0; j < kLanes; ++j) sum[i] += p.v[i][j];
  }
  out->squared_error += sum[0];
  out->energy += sum[1];
  out->decoded_energy += sum[2];
  out->product += sum[3];
  out->abs_error += sum[4];
  out->relative_error += sum[5];
  out->nonzero += sum[6];
  for (const double m : p.v[7]) out->max_abs = m > out->max_abs ? m : out->max_abs;
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/check.h"
#include "base/parallel.h"

namespace occ {
HWY_EXPORT(AddDistortion);

void DistortionAccumulator::add(MatrixView<const float> reference, MatrixView<const float> reconstruction) {
  OCC_CHECK(reference.shape() == reconstruction.shape());
  HWY_DYNAMIC_DISPATCH(AddDistortion)(reference, reconstruction, &sums_);
  elements_ += reference.size();
}

void DistortionAccumulator::merge(const DistortionAccumulator& o) {
  sums_.squared_error += o.sums_.squared_error;
  sums_.energy += o.sums_.energy;
  sums_.decoded_energy += o.sums_.decoded_energy;
  sums_.product += o.sums_.product;
  sums_.abs_error += o.sums_.abs_error;
  sums_.relative_error += o.sums_.relative_error;
  sums_.nonzero += o.sums_.nonzero;
  sums_.max_abs = std::max(sums_.max_abs, o.sums_.max_abs);
  elements_ += o.elements_;
}

double DistortionAccumulator::max_abs() const {
  return std::isnan(sums_.squared_error) ? sums_.squared_error : sums_.max_abs;
}
double DistortionAccumulator::mse() const {
  return elements_ == 0 ? 0 : sums_.squared_error / static_cast<double>(elements_);
}
double DistortionAccumulator::nmse() const {
  if (sums_.squared_error == 0) return 0;
  return sums_.energy == 0 ? std::numeric_limits<double>::infinity() : sums_.squared_error / sums_.energy;
}
double DistortionAccumulator::sqnr_db() const { return -10 * std::log10(nmse()); }
double DistortionAccumulator::mae() const {
  return elements_ == 0 ? 0 : sums_.abs_error / static_cast<double>(elements_);
}
double DistortionAccumulator::mre() const { return sums_.nonzero == 0 ? 0 : sums_.relative_error / sums_.nonzero; }
double DistortionAccumulator::cosine() const {
  if (sums_.energy == 0 && sums_.decoded_energy == 0) return 1;
  if (sums_.energy == 0 || sums_.decoded_energy == 0) return 0;
  return sums_.product / (std::sqrt(sums_.energy) * std::sqrt(sums_.decoded_energy));
}

DistortionAccumulator measure_distortion(MatrixView<const float> reference, MatrixView<const float> reconstruction) {
  OCC_CHECK(reference.shape() == reconstruction.shape());
  const size_t rows = std::max<size_t>(1, (size_t{1} << 18) / std::max<size_t>(1, reference.cols()));
  std::vector<DistortionAccumulator> panels(ceil_div(reference.rows(), rows));
  parallel_for(panels.size(), [&](size_t i) {
    const size_t count = std::min(rows, reference.rows() - i * rows);
    panels[i].add(reference.row_range(i * rows, count), reconstruction.row_range(i * rows, count));
  });
  DistortionAccumulator all;
  for (const auto& p : panels) all.merge(p);
  return all;
}

}  // namespace occ
#endif  // HWY_ONCE
