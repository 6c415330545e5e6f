#include "quantization/uniform_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantization/uniform_kernels.cc"
#include "hwy/foreach_target.h"
// foreach_target.h comes first.
#include "hwy/highway.h"
#include "quantization/partial_sums-inl.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {

// Adding 2^23 rounds a float in [0, 65535] to an integer, half to even, and leaves it in the low bits.
constexpr float kRoundMagic = 0x1p23f;

template <class D, class V = hn::VFromD<D>>
HWY_INLINE V clamped(D d, V x, V pre, V inverse, V offset, V max_code) {
  const V t = hn::Add(hn::Mul(hn::Mul(x, pre), inverse), offset);
  return hn::Min(hn::Max(t, hn::Zero(d)), max_code);
}

// One vector: reads x, writes symbols and x'.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE void quantize_vector(D d, float* x, Symbol* q, V pre, V inverse, V scale, V offset, V max_code) {
  const hn::RebindToUnsigned<D> du;
  const hn::Rebind<Symbol, D> dq;
  const V magic = hn::Set(d, kRoundMagic);
  const V rounded = hn::Add(clamped(d, hn::LoadU(d, x), pre, inverse, offset, max_code), magic);
  hn::StoreU(hn::TruncateTo(dq, hn::BitCast(du, rounded)), dq, q);
  hn::StoreU(hn::Mul(scale, hn::Sub(hn::Sub(rounded, magic), offset)), d, x);
}

template <class D, class V = hn::VFromD<D>>
HWY_INLINE void dequantize_vector(D d, const Symbol* q, float* x, V scale, V offset) {
  const hn::RebindToSigned<D> di;
  const hn::Rebind<Symbol, D> dq;
  const V code = hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(dq, q)));
  hn::StoreU(hn::Mul(scale, hn::Sub(code, offset)), d, x);
}

// One scale.
template <class D>
HWY_INLINE size_t quantize_span(D d, float* x, Symbol* q, size_t i, size_t n, Reciprocal by, float scale, float offset,
                                float max_code) {
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    quantize_vector(d, x + i, q + i, hn::Set(d, by.pre), hn::Set(d, by.inverse), hn::Set(d, scale), hn::Set(d, offset),
                    hn::Set(d, max_code));
  }
  return i;
}
template <class D>
HWY_INLINE size_t dequantize_span(D d, const Symbol* q, float* x, size_t i, size_t n, float scale, float offset) {
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    dequantize_vector(d, q + i, x + i, hn::Set(d, scale), hn::Set(d, offset));
  }
  return i;
}

// One scale per element.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V offset_at(D d, const UniformWindow& w, const float* offset, size_t i) {
  return offset != nullptr ? hn::LoadU(d, offset + i) : hn::Set(d, w.common_offset);
}
template <class D>
HWY_INLINE size_t quantize_each(D d, float* x, Symbol* q, size_t i, size_t n, const UniformWindow& w,
                                const float* scales, const float* offsets) {
  const auto one = hn::Set(d, 1.0f);
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    const auto scale = hn::LoadU(d, scales + i);
    const auto pre = hn::IfThenElse(hn::Lt(scale, hn::Set(d, 0x1p-96f)), hn::Set(d, 0x1p64f), one);
    const auto zero = hn::Eq(scale, hn::Zero(d));
    const auto inverse = hn::IfThenZeroElse(zero, hn::Div(one, hn::IfThenElse(zero, one, hn::Mul(scale, pre))));
    quantize_vector(d, x + i, q + i, hn::IfThenZeroElse(zero, pre), inverse, scale, offset_at(d, w, offsets, i),
                    hn::Set(d, w.max_code));
  }
  return i;
}
template <class D>
HWY_INLINE size_t dequantize_each(D d, const Symbol* q, float* x, size_t i, size_t n, const UniformWindow& w,
                                  const float* scales, const float* offsets) {
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    dequantize_vector(d, q + i, x + i, hn::LoadU(d, scales + i), offset_at(d, w, offsets, i));
  }
  return i;
}

void UniformQuantize(const UniformWindow& w, MatrixView<float> values, MatrixView<Symbol> symbols) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> d1;
  const size_t n = values.cols();
  for (size_t r = 0; r < values.rows(); ++r) {
    float* x = values.row(r);
    Symbol* q = symbols.row(r);
    const float* scales = w.scale + r * w.row_step;
    const float* offsets = w.offset == nullptr ? nullptr : w.offset + r * w.row_step;
    if (w.group == 1) {
      quantize_each(d1, x, q, quantize_each(d, x, q, 0, n, w, scales, offsets), n, w, scales, offsets);
      continue;
    }
    size_t end = std::min(n, w.group - w.phase);
    for (size_t begin = 0, i = 0; begin < n; begin = end, end = std::min(n, end + w.group), ++i) {
      const float scale = scales[i], offset = offsets == nullptr ? w.common_offset : offsets[i];
      const Reciprocal by = reciprocal_of(scale);
      const size_t at = quantize_span(d, x, q, begin, end, by, scale, offset, w.max_code);
      quantize_span(d1, x, q, at, end, by, scale, offset, w.max_code);
    }
  }
}

void UniformDequantize(const UniformWindow& w, MatrixView<const Symbol> symbols, MatrixView<float> out) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> d1;
  const size_t n = out.cols();
  for (size_t r = 0; r < out.rows(); ++r) {
    float* x = out.row(r);
    const Symbol* q = symbols.row(r);
    const float* scales = w.scale + r * w.row_step;
    const float* offsets = w.offset == nullptr ? nullptr : w.offset + r * w.row_step;
    if (w.group == 1) {
      dequantize_each(d1, q, x, dequantize_each(d, q, x, 0, n, w, scales, offsets), n, w, scales, offsets);
      continue;
    }
    size_t end = std::min(n, w.group - w.phase);
    for (size_t begin = 0, i = 0; begin < n; begin = end, end = std::min(n, end + w.group), ++i) {
      const float scale = scales[i], offset = offsets == nullptr ? w.common_offset : offsets[i];
      dequantize_span(d1, q, x, dequantize_span(d, q, x, begin, end, scale, offset), end, scale, offset);
    }
  }
}

LineRange Range(MatrixView<const float> x) {
  const FloatTag d;
  LineRange range{x(0, 0), x(0, 0)};
  auto low = hn::Set(d, range.min), high = low;
  for (size_t r = 0; r < x.rows(); ++r) {
    const float* v = x.row(r);
    size_t c = 0;
    for (; c + hn::Lanes(d) <= x.cols(); c += hn::Lanes(d)) {
      const auto value = hn::LoadU(d, v + c);
      low = hn::Min(low, value);
      high = hn::Max(high, value);
    }
    for (; c < x.cols(); ++c) {
      range.min = std::min(range.min, v[c]);
      range.max = std::max(range.max, v[c]);
    }
  }
  range.min = std::min(range.min, hn::GetLane(hn::MinOfLanes(d, low)));
  range.max = std::max(range.max, hn::GetLane(hn::MaxOfLanes(d, high)));
  return range;
}

LineSums Sums(MatrixView<const float> x, float unit, float center) {
  const Reciprocal by = reciprocal_of(unit);
  const auto normal = [by](auto d, auto v)
                          HWY_ATTR { return hn::Mul(hn::Mul(v, hn::Set(d, by.pre)), hn::Set(d, by.inverse)); };
  LineSums sums;
  sums.sum = sum_matrix(x, normal);
  sums.deviation = sum_matrix(
      x, [&normal, center](auto d, auto v) HWY_ATTR { return hn::Abs(hn::Sub(normal(d, v), hn::Set(d, center))); });
  return sums;
}

// Short lines: lanes are steps, each adds the line's elements in their order.
HWY_NOINLINE void errors_of_short(MatrixView<const float> x, std::span<const UniformStep> steps, float max_code,
                                  double* errors) {
  const hn::ScalableTag<float> d;
  HWY_ALIGN float pre[kMaxUniformSteps] = {}, inverse[kMaxUniformSteps] = {}, offset[kMaxUniformSteps] = {};
  for (size_t i = 0; i < steps.size(); ++i) {
    const Reciprocal by = reciprocal_of(steps[i].scale);
    pre[i] = by.pre, inverse[i] = by.inverse, offset[i] = steps[i].offset;
  }
  const auto magic = hn::Set(d, kRoundMagic), top = hn::Set(d, max_code), zero = hn::Zero(d);
  HWY_ALIGN float sums[kMaxUniformSteps];
  for (size_t i = 0; i < steps.size(); i += hn::Lanes(d)) {
    const auto p = hn::Load(d, pre + i), s = hn::Load(d, inverse + i), o = hn::Load(d, offset + i);
    auto sum = zero;
    for (size_t c = 0; c < x.cols(); ++c) {
      const auto t = hn::Add(hn::Mul(hn::Mul(hn::Set(d, x(0, c)), p), s), o);
      const auto e = hn::Sub(t, hn::Sub(hn::Add(hn::Min(hn::Max(t, zero), top), magic), magic));
      sum = hn::Add(sum, hn::Mul(e, e));
    }
    hn::Store(sum, d, sums + i);
  }
  for (size_t i = 0; i < steps.size(); ++i) {
    errors[i] =
        static_cast<double>(sums[i]) * static_cast<double>(steps[i].scale) * static_cast<double>(steps[i].scale);
  }
}

void Errors(MatrixView<const float> x, std::span<const UniformStep> steps, float max_code, double* errors) {
  if (x.rows() == 1 && x.cols() <= 128) {
    errors_of_short(x, steps, max_code, errors);
    return;
  }
  for (size_t i = 0; i < steps.size(); ++i) errors[i] = 0;
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); c += kRun) {  // a run stays in the cache for all steps
      for (size_t i = 0; i < steps.size(); ++i) {
        const Reciprocal by = reciprocal_of(steps[i].scale);
        const float offset = steps[i].offset;
        errors[i] +=
            sum_run(x.row(r) + c, std::min(kRun, x.cols() - c), [by, offset, max_code](auto d, auto v) HWY_ATTR {
              const auto magic = hn::Set(d, kRoundMagic);
              const auto t =
                  hn::Add(hn::Mul(hn::Mul(v, hn::Set(d, by.pre)), hn::Set(d, by.inverse)), hn::Set(d, offset));
              const auto q = hn::Sub(hn::Add(hn::Min(hn::Max(t, hn::Zero(d)), hn::Set(d, max_code)), magic), magic);
              const auto e = hn::Sub(t, q);
              return hn::Mul(e, e);
            });
      }
    }
  }
  for (size_t i = 0; i < steps.size(); ++i) {
    errors[i] *= static_cast<double>(steps[i].scale) * static_cast<double>(steps[i].scale);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {
HWY_EXPORT(UniformQuantize);
HWY_EXPORT(UniformDequantize);
HWY_EXPORT(Range);
HWY_EXPORT(Sums);
HWY_EXPORT(Errors);

void uniform_quantize(const UniformWindow& window, MatrixView<float> values, MatrixView<Symbol> symbols) {
  HWY_DYNAMIC_DISPATCH(UniformQuantize)(window, values, symbols);
}
void uniform_dequantize(const UniformWindow& window, MatrixView<const Symbol> symbols, MatrixView<float> out) {
  HWY_DYNAMIC_DISPATCH(UniformDequantize)(window, symbols, out);
}
LineRange line_range(MatrixView<const float> x) { return HWY_DYNAMIC_DISPATCH(Range)(x); }
LineSums line_sums(MatrixView<const float> x, float unit, float center) {
  return HWY_DYNAMIC_DISPATCH(Sums)(x, unit, center);
}
void uniform_errors(MatrixView<const float> x, std::span<const UniformStep> steps, float max_code, double* errors) {
  HWY_DYNAMIC_DISPATCH(Errors)(x, steps, max_code, errors);
}

}  // namespace occ
#endif  // HWY_ONCE
