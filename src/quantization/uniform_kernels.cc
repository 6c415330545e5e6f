#include "quantization/uniform_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantization/uniform_kernels.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must be included before highway.h.
#include "hwy/highway.h"
#include "quantization/partial_sums-inl.h"
#include "quantization/scaled_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {

// Adding 2^23 to a float in [0, 65535] rounds it to an integer, half to even, in its low bits.
constexpr float kRoundMagic = 0x1p23f;

// Returns the offsets of scale k or, if every element has its own scale, those of the scales from k on.
template <class D>
HWY_INLINE hn::VFromD<D> offsets_at(D d, const UniformWindow& w, size_t k) {
  if (w.offset == nullptr) return hn::Set(d, w.common_offset);
  return w.scales.group == 1 ? hn::LoadU(d, w.offset + k) : hn::Set(d, w.offset[k]);
}

void UniformQuantize(const UniformWindow& w, MatrixView<float> values, MatrixView<Symbol> symbols) {
  for (size_t r = 0; r < values.rows(); ++r) {
    float* x = values.row(r);
    Symbol* q = symbols.row(r);
    const auto quantize = [&w, x, q](auto d, size_t i, size_t k, auto pre, auto inverse, auto scale) HWY_ATTR {
      const hn::RebindToSigned<decltype(d)> di;
      const auto offset = offsets_at(d, w, k), magic = hn::Set(d, kRoundMagic);
      const auto t = hn::Add(normalised(hn::LoadU(d, x + i), pre, inverse), offset);
      const auto rounded = hn::Add(hn::Min(hn::Max(t, hn::Zero(d)), hn::Set(d, w.max_code)), magic);
      store_symbols(d, hn::BitCast(di, rounded), q + i);
      hn::StoreU(hn::Mul(scale, hn::Sub(hn::Sub(rounded, magic), offset)), d, x + i);
    };
    for_row(w.scales, r, values.cols(), quantize);
  }
}

void UniformDequantize(const UniformWindow& w, MatrixView<const Symbol> symbols, MatrixView<float> out) {
  for (size_t r = 0; r < out.rows(); ++r) {
    float* x = out.row(r);
    const Symbol* q = symbols.row(r);
    const auto dequantize = [&w, x, q](auto d, size_t i, size_t k, auto, auto, auto scale) HWY_ATTR {
      const auto code = hn::ConvertTo(d, load_symbols(d, q + i));
      hn::StoreU(hn::Mul(scale, hn::Sub(code, offsets_at(d, w, k))), d, x + i);
    };
    for_row(w.scales, r, out.cols(), dequantize);
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
                          HWY_ATTR { return normalised(v, hn::Set(d, by.pre), hn::Set(d, by.inverse)); };
  LineSums sums;
  sums.sum = sum_matrix(x, normal);
  sums.deviation = sum_matrix(
      x, [&normal, center](auto d, auto v) HWY_ATTR { return hn::Abs(hn::Sub(normal(d, v), hn::Set(d, center))); });
  return sums;
}

// For short lines. Each lane is one step and adds the elements of the line in their order.
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
    for (size_t c = 0; c < x.cols(); c += kRun) {  // a run stays in the cache while all steps are tried
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
