// Shared by the kernels of `uniform` and `lloyd`: loops over the rows of a ScaleWindow (scale_grid.h) in vectors, and
// conversions between symbols and vectors. x / scale is computed as (x * pre) * inverse (Reciprocal in
// tensor/bf16_scales.h).
#if defined(OCC_QUANTIZATION_SCALED_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCC_QUANTIZATION_SCALED_ROWS_INL_H_
#undef OCC_QUANTIZATION_SCALED_ROWS_INL_H_
#else
#define OCC_QUANTIZATION_SCALED_ROWS_INL_H_
#endif

#include <algorithm>
#include <cstddef>

#include "hwy/highway.h"
#include "quantization/scale_grid.h"
#include "tensor/symbols.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Returns x / scale.
template <class V>
HWY_INLINE V normalised(V x, V pre, V inverse) {
  return hn::Mul(hn::Mul(x, pre), inverse);
}

// Convert the lower 16 bits of integers to symbols, and symbols to integers.
template <class D>
HWY_INLINE void store_symbols(D, hn::VFromD<hn::RebindToSigned<D>> q, Symbol* to) {
  const hn::RebindToUnsigned<D> du;
  const hn::Rebind<Symbol, D> dq;
  hn::StoreU(hn::TruncateTo(dq, hn::BitCast(du, q)), dq, to);
}
template <class D>
HWY_INLINE hn::VFromD<hn::RebindToSigned<D>> load_symbols(D, const Symbol* from) {
  const hn::RebindToSigned<D> di;
  const hn::Rebind<Symbol, D> dq;
  return hn::PromoteTo(di, hn::LoadU(dq, from));
}

// A single scale for all elements.
struct SpanScale {
  size_t number;
  Reciprocal by;
  float scale;
  template <class D, class F>
  HWY_INLINE void at(D d, size_t i, const F& f) const {
    f(d, i, number, hn::Set(d, by.pre), hn::Set(d, by.inverse), hn::Set(d, scale));
  }
};
// A scale of its own for each element.
struct EachScale {
  size_t first;
  const float* scales;  // scales of the window
  template <class D, class F>
  HWY_INLINE void at(D d, size_t i, const F& f) const {
    const auto one = hn::Set(d, 1.0f);
    const auto scale = hn::LoadU(d, scales + first + i);
    const auto zero = hn::Eq(scale, hn::Zero(d));
    const auto pre = hn::IfThenElse(hn::Lt(scale, hn::Set(d, 0x1p-96f)), hn::Set(d, 0x1p64f), one);
    const auto inverse = hn::IfThenZeroElse(zero, hn::Div(one, hn::IfThenElse(zero, one, hn::Mul(scale, pre))));
    f(d, i, first + i, hn::IfThenZeroElse(zero, pre), inverse, scale);
  }
};

// Processes the elements [begin, end), whole vectors first.
template <class Scale, class F>
HWY_INLINE void for_vectors(size_t begin, size_t end, const Scale& scale, const F& f) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> d1;
  size_t i = begin;
  for (; i + hn::Lanes(d) <= end; i += hn::Lanes(d)) scale.at(d, i, f);
  for (; i < end; ++i) scale.at(d1, i, f);
}

// Calls f(d, i, k, pre, inverse, scale) for all vectors of row r. A vector holds the elements i to i + Lanes(d) - 1,
// and element i has scale number k of the window. With group = 1 the next elements have the scales k + 1, k + 2, ...;
// otherwise all elements of a vector have scale k.
template <class F>
HWY_INLINE void for_row(const ScaleWindow& w, size_t r, size_t cols, const F& f) {
  size_t number = r * w.row_step;
  if (w.group == 1) {
    for_vectors(0, cols, EachScale{number, w.scale}, f);
    return;
  }
  size_t end = std::min(cols, w.group - w.phase);
  for (size_t begin = 0; begin < cols; begin = end, end = std::min(cols, end + w.group), ++number) {
    const float scale = w.scale[number];
    for_vectors(begin, end, SpanScale{number, reciprocal_of(scale), scale}, f);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#endif  // per target
