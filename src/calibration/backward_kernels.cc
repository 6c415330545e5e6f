#include "calibration/backward_kernels.h"

#include <cmath>

#include "base/check.h"
#include "model/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "calibration/backward_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "simd/exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;

// The sum is formed in double over short blocks of floats, because rows can have some hundred thousand elements.
double SoftmaxRow(float scale, float* x, size_t n) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  float top = x[0];
  size_t i = 0;
  if (n >= lanes) {
    VF most = hn::LoadU(d, x);
    for (; i + lanes <= n; i += lanes) most = hn::Max(most, hn::LoadU(d, x + i));
    top = hn::GetLane(hn::MaxOfLanes(d, most));
  }
  for (; i < n; ++i) top = x[i] > top ? x[i] : top;
  const VF vscale = hn::Set(d, scale), vtop = hn::Set(d, top);
  double sum = 0;
  constexpr size_t kBlock = 1024;
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const size_t end = begin + kBlock < n ? begin + kBlock : n;
    VF part = hn::Zero(d);
    for (i = begin; i + lanes <= end; i += lanes) {
      const VF e = Exp(d, hn::Mul(vscale, hn::Sub(hn::LoadU(d, x + i), vtop)));
      part = hn::Add(part, e);
      hn::StoreU(e, d, x + i);
    }
    sum += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, part)));
    for (; i < end; ++i) {
      x[i] = std::exp(scale * (x[i] - top));
      sum += static_cast<double>(x[i]);
    }
  }
  const float inverse = static_cast<float>(1 / sum);
  const VF vinverse = hn::Set(d, inverse);
  for (i = 0; i + lanes <= n; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, x + i), vinverse), d, x + i);
  for (; i < n; ++i) x[i] *= inverse;
  return static_cast<double>(scale) * static_cast<double>(top) + std::log(sum);
}

void SoftmaxBackwardRow(float scale, const float* p, float* dp, size_t n) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  VF sums = hn::Zero(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) sums = hn::MulAdd(hn::LoadU(d, p + i), hn::LoadU(d, dp + i), sums);
  float sum = hn::GetLane(hn::SumOfLanes(d, sums));
  for (; i < n; ++i) sum += p[i] * dp[i];
  const VF vsum = hn::Set(d, sum), vscale = hn::Set(d, scale);
  for (i = 0; i + lanes <= n; i += lanes) {
    const VF v = hn::Mul(hn::LoadU(d, p + i), hn::Sub(hn::LoadU(d, dp + i), vsum));
    hn::StoreU(hn::Mul(v, vscale), d, dp + i);
  }
  for (; i < n; ++i) dp[i] = scale * (p[i] * (dp[i] - sum));
}

struct ValueAndSlope {
  VF value, slope;
};

template <Activation kind>
HWY_INLINE ValueAndSlope Activate(DF d, VF x) {
  const VF one = hn::Set(d, 1.0f);
  if constexpr (kind == Activation::kSilu) {
    const VF s = TimesSigmoid(d, one, x);
    return {hn::Mul(x, s), hn::Mul(s, hn::MulAdd(x, hn::Sub(one, s), one))};
  }
  if constexpr (kind == Activation::kRelu) {
    return {hn::Max(x, hn::Zero(d)), hn::IfThenElseZero(hn::Gt(x, hn::Zero(d)), one)};
  }
  if constexpr (kind == Activation::kGelu) {
    const VF phi = Phi(d, x);
    const VF density = hn::Mul(Exp(d, hn::Mul(hn::Mul(x, x), hn::Set(d, -0.5f))), hn::Set(d, 0.3989422804014327f));
    return {hn::Mul(x, phi), hn::MulAdd(x, density, phi)};
  }
  // GELU (tanh approximation): x sigmoid(v) with v = 2 sqrt(2 / pi) (x + 0.044715 x^3).
  const VF square = hn::Mul(x, x), c = hn::Set(d, 1.5957691216057308f);
  const VF v = hn::Mul(hn::Mul(c, x), hn::MulAdd(square, hn::Set(d, 0.044715f), one));
  const VF slope_v = hn::Mul(c, hn::MulAdd(square, hn::Set(d, 3 * 0.044715f), one));
  const VF s = TimesSigmoid(d, one, v);
  return {hn::Mul(x, s), hn::Mul(s, hn::MulAdd(hn::Mul(x, hn::Sub(one, s)), slope_v, one))};
}

// x and u have n values each; u is null if the activation has no gate. Biases may be null.
template <Activation kind>
HWY_INLINE void ActivateAll(float* x, const float* bias, float* u, const float* u_bias, float* y, size_t n) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const auto step = [&](float* at, const float* b, float* up, const float* ub, float* out) HWY_ATTR {
    VF v = hn::LoadU(d, at);
    if (b != nullptr) v = hn::Add(v, hn::LoadU(d, b));
    const ValueAndSlope a = Activate<kind>(d, v);
    if (up == nullptr) {
      hn::StoreU(a.value, d, out);
      hn::StoreU(a.slope, d, at);
      return;
    }
    VF w = hn::LoadU(d, up);
    if (ub != nullptr) w = hn::Add(w, hn::LoadU(d, ub));
    hn::StoreU(hn::Mul(a.value, w), d, out);
    hn::StoreU(hn::Mul(a.slope, w), d, at);
    hn::StoreU(a.value, d, up);
  };
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    step(x + i, bias == nullptr ? nullptr : bias + i, u == nullptr ? nullptr : u + i,
         u_bias == nullptr ? nullptr : u_bias + i, y + i);
  }
  if (i == n) return;
  HWY_ALIGN float tail[5][HWY_MAX_BYTES / 4] = {};
  for (size_t j = i; j < n; ++j) {
    tail[0][j - i] = x[j];
    if (bias != nullptr) tail[1][j - i] = bias[j];
    if (u != nullptr) tail[2][j - i] = u[j];
    if (u_bias != nullptr) tail[3][j - i] = u_bias[j];
  }
  step(tail[0], tail[1], u == nullptr ? nullptr : tail[2], tail[3], tail[4]);
  for (size_t j = i; j < n; ++j) {
    x[j] = tail[0][j - i];
    if (u != nullptr) u[j] = tail[2][j - i];
    y[j] = tail[4][j - i];
  }
}

void ActivateRow(Activation kind, float* x, const float* bias, float* u, const float* u_bias, float* y, size_t n) {
  switch (kind) {
    case Activation::kSilu:
      return ActivateAll<Activation::kSilu>(x, bias, u, u_bias, y, n);
    case Activation::kGelu:
      return ActivateAll<Activation::kGelu>(x, bias, u, u_bias, y, n);
    case Activation::kGeluTanh:
      return ActivateAll<Activation::kGeluTanh>(x, bias, u, u_bias, y, n);
    case Activation::kRelu:
      return ActivateAll<Activation::kRelu>(x, bias, u, u_bias, y, n);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(SoftmaxRow);
HWY_EXPORT(SoftmaxBackwardRow);
HWY_EXPORT(ActivateRow);

double softmax_row(float scale, float* x, size_t n) { return HWY_DYNAMIC_DISPATCH(SoftmaxRow)(scale, x, n); }

void softmax_backward_row(float scale, const float* p, float* dp, size_t n) {
  HWY_DYNAMIC_DISPATCH(SoftmaxBackwardRow)(scale, p, dp, n);
}

void cap_backward_row(float scale, float cap, const float* y, float* dy, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const float t = cap != 0 ? y[i] / cap : 0;
    dy[i] *= scale * (1 - t * t);
  }
}

void activate_with_derivative(Activation activation, bool gated, const float* bias, MatrixView<float> x,
                              MatrixView<float> y) {
  const size_t n = gated ? x.cols() / 2 : x.cols();
  OCC_CHECK(y.rows() == x.rows() && y.cols() == n);
  for_row_panels(x.rows(), 8 * x.cols(), [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      float* row = x.row(r);
      HWY_DYNAMIC_DISPATCH(ActivateRow)
      (activation, row, bias, gated ? row + n : nullptr, gated && bias != nullptr ? bias + n : nullptr, y.row(r), n);
    }
  });
}

namespace {

// Sum of f(i) for all i < n. Eight running sums let the compiler vectorize it.
template <typename F>
float sum_of(size_t n, const F& f) {
  float sums[8] = {};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t j = 0; j < 8; ++j) sums[j] += f(i + j);
  }
  for (; i < n; ++i) sums[0] += f(i);
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

}  // namespace

void norm_backward_row(bool rms, float eps, const float* weight, const float* x, const float* dy, float* dx, float* dw,
                       float* db, size_t n) {
  const float count = static_cast<float>(n);
  const float mean = rms ? 0.0f : sum_of(n, [&](size_t i) { return x[i]; }) / count;
  const float s = 1.0f / std::sqrt(sum_of(n, [&](size_t i) { return (x[i] - mean) * (x[i] - mean); }) / count + eps);
  const float mean_g = rms ? 0.0f : sum_of(n, [&](size_t i) { return weight[i] * dy[i]; }) / count;
  const float mean_gx = s * sum_of(n, [&](size_t i) { return weight[i] * dy[i] * (x[i] - mean); }) / count;
  for (size_t i = 0; i < n; ++i) {
    const float xh = (x[i] - mean) * s;
    dw[i] += dy[i] * xh;
    dx[i] += s * (weight[i] * dy[i] - mean_g - xh * mean_gx);
  }
  if (db != nullptr) {
    for (size_t i = 0; i < n; ++i) db[i] += dy[i];
  }
}

}  // namespace occ
#endif
