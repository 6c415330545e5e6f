// Sums over the lanes of four vectors at once, for all SIMD targets whose vectors have a fixed size of at least 16
// bytes.
#if defined(OCC_OPERATORS_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCC_OPERATORS_SUMS_INL_H_
#undef OCC_OPERATORS_SUMS_INL_H_
#else
#define OCC_OPERATORS_SUMS_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The sum of the 16-byte blocks of v.
template <class D, class V>
HWY_INLINE auto AddBlocks(D, V v) {
  if constexpr (hn::MaxLanes(D()) * sizeof(hn::TFromD<D>) == 16) {
    return v;
  } else {
    const hn::Half<D> half;
    return AddBlocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

// The sums of the lanes of a, b, c and e, in this order. Lanes have 32 bits.
template <class D, class V>
HWY_INLINE auto SumsOfLanes4(D d, V a, V b, V c, V e) {
  const auto ac = hn::Add(hn::InterleaveLower(d, a, c), hn::InterleaveUpper(d, a, c));
  const auto be = hn::Add(hn::InterleaveLower(d, b, e), hn::InterleaveUpper(d, b, e));
  return AddBlocks(d, hn::Add(hn::InterleaveLower(d, ac, be), hn::InterleaveUpper(d, ac, be)));
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();
#endif
