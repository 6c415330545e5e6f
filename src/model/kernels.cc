#include "model/kernels.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "model/kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "simd/exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;

// Sum of x - shift, or of its squares.
HWY_INLINE float Sum(const float* x, size_t n, bool squares, float shift) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  VF s0 = hn::Zero(d), s1 = s0;
  const VF mean = hn::Set(d, shift);
  const auto term = [&](size_t i) HWY_ATTR {
    const VF v = hn::Sub(hn::LoadU(d, x + i), mean);
    return squares ? hn::Mul(v, v) : v;
  };
  size_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    s0 = hn::Add(s0, term(i));
    s1 = hn::Add(s1, term(i + lanes));
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(s0, s1)));
  for (; i < n; ++i) sum += squares ? (x[i] - shift) * (x[i] - shift) : x[i] - shift;
  return sum;
}

void NormalizeRow(bool rms, float eps, const float* weight, const float* bias, const float* x, float* out, size_t n) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const float count = static_cast<float>(n);
  const float mean = rms ? 0.0f : Sum(x, n, false, 0) / count;
  const float scale = 1.0f / std::sqrt(Sum(x, n, true, mean) / count + eps);
  const VF vmean = hn::Set(d, mean), vscale = hn::Set(d, scale);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    VF v = hn::Mul(hn::Mul(hn::Sub(hn::LoadU(d, x + i), vmean), vscale), hn::LoadU(d, weight + i));
    if (bias != nullptr) v = hn::Add(v, hn::LoadU(d, bias + i));
    hn::StoreU(v, d, out + i);
  }
  for (; i < n; ++i) out[i] = (x[i] - mean) * scale * weight[i] + (bias != nullptr ? bias[i] : 0.0f);
}

void AddTo(const float* y, float* x, size_t n) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, x + i);
  for (; i < n; ++i) x[i] += y[i];
}

// cap tanh(u / cap) = 2 cap sigmoid(2 u / cap) - cap
void ScaleAndCap(float scale, float cap, float* x, size_t n) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const VF factor = hn::Set(d, cap == 0 ? scale : 2 * scale / cap), vcap = hn::Set(d, cap), twice = hn::Set(d, 2 * cap);
  const auto step = [&](float* at) HWY_ATTR {
    const VF u = hn::Mul(hn::LoadU(d, at), factor);
    hn::StoreU(cap == 0 ? u : hn::Sub(TimesSigmoid(d, twice, u), vcap), d, at);
  };
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) step(x + i);
  if (i == n) return;
  HWY_ALIGN float tail[HWY_MAX_BYTES / 4] = {};
  for (size_t j = i; j < n; ++j) tail[j - i] = x[j];
  step(tail);
  for (size_t j = i; j < n; ++j) x[j] = tail[j - i];
}

template <Activation kind>
HWY_INLINE VF Activate(DF d, VF x) {
  if constexpr (kind == Activation::kSilu) return TimesSigmoid(d, x, x);
  if constexpr (kind == Activation::kRelu) return hn::Max(x, hn::Zero(d));
  if constexpr (kind == Activation::kGelu) return hn::Mul(x, Phi(d, x));
  // 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3)
  const VF cube = hn::Mul(hn::Mul(x, x), x);
  const VF u = hn::MulAdd(cube, hn::Set(d, 0.044715f), x);
  return TimesSigmoid(d, x, hn::Mul(u, hn::Set(d, 1.5957691216057308f)));
}

template <Activation kind>
HWY_INLINE void ActivateAll(float* x, const float* bias, const float* up, const float* up_bias, size_t n) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const auto step = [&](float* at, const float* b, const float* u, const float* ub) HWY_ATTR {
    VF v = hn::LoadU(d, at);
    if (b != nullptr) v = hn::Add(v, hn::LoadU(d, b));
    v = Activate<kind>(d, v);
    if (u != nullptr) {
      VF w = hn::LoadU(d, u);
      if (ub != nullptr) w = hn::Add(w, hn::LoadU(d, ub));
      v = hn::Mul(v, w);
    }
    hn::StoreU(v, d, at);
  };
  const auto at = [](const float* p, size_t i) { return p == nullptr ? nullptr : p + i; };
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) step(x + i, at(bias, i), at(up, i), at(up_bias, i));
  if (i == n) return;
  HWY_ALIGN float tail[4][HWY_MAX_BYTES / 4] = {};
  const auto copy = [&](const float* p, float* to) -> const float* {
    if (p == nullptr) return nullptr;
    for (size_t j = i; j < n; ++j) to[j - i] = p[j];
    return to;
  };
  copy(x, tail[0]);
  step(tail[0], copy(bias, tail[1]), copy(up, tail[2]), copy(up_bias, tail[3]));
  for (size_t j = i; j < n; ++j) x[j] = tail[0][j - i];
}

void ActivateRow(Activation kind, float* x, const float* bias, const float* up, const float* up_bias, size_t n) {
  switch (kind) {
    case Activation::kSilu:
      return ActivateAll<Activation::kSilu>(x, bias, up, up_bias, n);
    case Activation::kGelu:
      return ActivateAll<Activation::kGelu>(x, bias, up, up_bias, n);
    case Activation::kGeluTanh:
      return ActivateAll<Activation::kGeluTanh>(x, bias, up, up_bias, n);
    case Activation::kRelu:
      return ActivateAll<Activation::kRelu>(x, bias, up, up_bias, n);
  }
}

void RotateHalves(const float* table, size_t pairs, float* x) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= pairs; i += lanes) {
    const VF a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + pairs + i);
    const VF c = hn::LoadU(d, table + i), s = hn::LoadU(d, table + pairs + i);
    hn::StoreU(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), d, x + i);
    hn::StoreU(hn::Add(hn::Mul(b, c), hn::Mul(a, s)), d, x + pairs + i);
  }
  for (; i < pairs; ++i) {
    const float a = x[i], b = x[pairs + i], c = table[i], s = table[pairs + i];
    x[i] = a * c - b * s;
    x[pairs + i] = b * c + a * s;
  }
}

void RotateAdjacent(const float* table, size_t pairs, float* x) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= pairs; i += lanes) {
    VF a, b;
    hn::LoadInterleaved2(d, x + 2 * i, a, b);
    const VF c = hn::LoadU(d, table + i), s = hn::LoadU(d, table + pairs + i);
    hn::StoreInterleaved2(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), hn::Add(hn::Mul(b, c), hn::Mul(a, s)), d, x + 2 * i);
  }
  for (; i < pairs; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1], c = table[i], s = table[pairs + i];
    x[2 * i] = a * c - b * s;
    x[2 * i + 1] = b * c + a * s;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(NormalizeRow);
HWY_EXPORT(AddTo);
HWY_EXPORT(ScaleAndCap);
HWY_EXPORT(ActivateRow);
HWY_EXPORT(RotateHalves);
HWY_EXPORT(RotateAdjacent);

void for_row_panels(size_t rows, size_t cost, const std::function<void(size_t, size_t)>& body) {
  constexpr size_t kWorth = 1 << 15;  // elements: some ten microseconds, the cost of a parallel loop
  if (rows * cost < 2 * kWorth) {
    body(0, rows);
    return;
  }
  const size_t panel = ceil_div(kWorth, cost);
  parallel_for(ceil_div(rows, panel), [&](size_t p) { body(p * panel, std::min(panel, rows - p * panel)); });
}

namespace {

void normalize_row(const ModelConfig& config, const NormWeights& norm, const float* x, float* out, size_t n) {
  if (norm.weight.empty()) {
    if (out != x) std::copy_n(x, n, out);
    return;
  }
  HWY_DYNAMIC_DISPATCH(NormalizeRow)
  (config.norm == Norm::kRms, config.norm_eps, norm.weight.data(), norm.bias.empty() ? nullptr : norm.bias.data(), x,
   out, n);
}

void add_row(const ModelConfig& config, const Addend& a, size_t r, float* x) {
  const size_t n = a.y.cols();
  float* y = a.y.row(r);
  const bool normed = a.norm != nullptr && !a.norm->weight.empty();
  if (!normed && a.scale == 1) {
    add_to(y, x, n);
    if (a.bias != nullptr) add_to(a.bias, x, n);
    return;
  }
  if (a.bias != nullptr) add_to(a.bias, y, n);
  if (normed) normalize_row(config, *a.norm, y, y, n);
  if (a.scale != 1) scale_and_cap_row(a.scale, 0, y, n);
  add_to(y, x, n);
}

}  // namespace

void normalize(const ModelConfig& config, const NormWeights& norm, MatrixView<const float> x, MatrixView<float> out) {
  OCC_CHECK(x.shape() == out.shape() && (norm.weight.empty() || x.cols() == norm.weight.size()));
  for_row_panels(x.rows(), x.cols(), [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) normalize_row(config, norm, x.row(r), out.row(r), x.cols());
  });
}

void add_and_normalize(const ModelConfig& config, std::span<const Addend> addends, const NormWeights& norm,
                       MatrixView<float> x, MatrixView<float> out) {
  OCC_CHECK(out.size() == 0 || x.shape() == out.shape());
  for_row_panels(x.rows(), 2 * x.cols(), [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      for (const Addend& addend : addends) add_row(config, addend, r, x.row(r));
      if (out.size() != 0) normalize_row(config, norm, x.row(r), out.row(r), x.cols());
    }
  });
}

void activate(Activation activation, bool gated, const float* bias, MatrixView<float> x) {
  const size_t n = gated ? x.cols() / 2 : x.cols();
  for_row_panels(x.rows(), 4 * x.cols(), [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      float* row = x.row(r);
      HWY_DYNAMIC_DISPATCH(ActivateRow)
      (activation, row, bias, gated ? row + n : nullptr, gated && bias != nullptr ? bias + n : nullptr, n);
    }
  });
}

void scale_and_cap(float scale, float cap, MatrixView<float> x) {
  if (scale == 1 && cap == 0) return;
  for_row_panels(x.rows(), 2 * x.cols(), [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) scale_and_cap_row(scale, cap, x.row(r), x.cols());
  });
}

void scale_and_cap_row(float scale, float cap, float* x, size_t n) {
  HWY_DYNAMIC_DISPATCH(ScaleAndCap)(scale, cap, x, n);
}

void add_to(const float* y, float* x, size_t n) { HWY_DYNAMIC_DISPATCH(AddTo)(y, x, n); }

void rms_norm_head(const float* weight, float eps, float* x, size_t n) {
  HWY_DYNAMIC_DISPATCH(NormalizeRow)(true, eps, weight, nullptr, x, x, n);
}

void rotate_head(RopePairs order, const float* table, size_t pairs, float* x) {
  if (order == RopePairs::kHalves) {
    HWY_DYNAMIC_DISPATCH(RotateHalves)(table, pairs, x);
  } else {
    HWY_DYNAMIC_DISPATCH(RotateAdjacent)(table, pairs, x);
  }
}

}  // namespace occ
#endif
