// Products of unsigned bytes k with int8 activations x, added up exactly: of pairs of bytes in int16, where x86 has an
// instruction for them and the largest k leaves room, then in int32.
#if defined(OCC_OPERATORS_PAIRS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCC_OPERATORS_PAIRS_INL_H_
#undef OCC_OPERATORS_PAIRS_INL_H_
#else
#define OCC_OPERATORS_PAIRS_INL_H_
#endif

#include "hwy/highway.h"

#ifndef OCC_OPERATORS_PAIRS_ONCE
#define OCC_OPERATORS_PAIRS_ONCE
namespace occ {

// How often pairs can be added up in int16, or kWide: no pair fits.
constexpr int kWide = 0;
constexpr int int16_depth(unsigned most) {
  return most > 127 ? kWide : most > 63 ? 1 : most > 31 ? 2 : most > 15 ? 4 : 8;
}

}  // namespace occ
#endif

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#undef OCC_INT8_PAIRS
#if HWY_TARGET == HWY_SSSE3 || HWY_TARGET == HWY_SSE4
#define OCC_INT8_PAIRS 1
HWY_INLINE hn::Vec128<int16_t> MulPairs(hn::Vec128<uint8_t> k, hn::Vec128<int8_t> x) {
  return hn::Vec128<int16_t>{_mm_maddubs_epi16(k.raw, x.raw)};
}
#elif HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
#define OCC_INT8_PAIRS 1
HWY_INLINE hn::Vec256<int16_t> MulPairs(hn::Vec256<uint8_t> k, hn::Vec256<int8_t> x) {
  return hn::Vec256<int16_t>{_mm256_maddubs_epi16(k.raw, x.raw)};
}
#if HWY_TARGET == HWY_AVX3
HWY_INLINE hn::Vec512<int16_t> MulPairs(hn::Vec512<uint8_t> k, hn::Vec512<int8_t> x) {
  return hn::Vec512<int16_t>{_mm512_maddubs_epi16(k.raw, x.raw)};
}
#endif
#else
#define OCC_INT8_PAIRS 0
#endif

#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE

// sum += pairs, which are lanes of d16.
template <class D16, class V16, class V32>
HWY_INLINE void AddPairs(D16 d16, V16 pairs, V32& sum) {
  const hn::Repartition<int32_t, D16> d32;
  V32 unused = hn::Zero(d32);
  sum = hn::ReorderWidenMulAccumulate(d32, pairs, hn::Set(d16, int16_t{1}), sum, unused);
}

// sum += k x, every product in int32. d: of k.
template <class D, class VK, class VX, class V32>
HWY_INLINE void AddWide(D, VK k, VX x, V32& sum) {
  const hn::Repartition<int16_t, D> d16;
  const hn::Repartition<uint16_t, D> du16;
  const hn::Repartition<int32_t, D> d32;
  const auto kv = hn::BitCast(du16, k);
  const auto xv = hn::BitCast(d16, x);
  const auto k_even = hn::BitCast(d16, hn::And(kv, hn::Set(du16, uint16_t{255})));
  const auto k_odd = hn::BitCast(d16, hn::ShiftRight<8>(kv));
  const auto x_even = hn::ShiftRight<8>(hn::ShiftLeft<8>(xv)), x_odd = hn::ShiftRight<8>(xv);
  V32 odd = hn::Zero(d32);
  sum = hn::ReorderWidenMulAccumulate(d32, k_even, x_even, sum, odd);
  sum = hn::ReorderWidenMulAccumulate(d32, k_odd, x_odd, sum, odd);
  sum = hn::Add(sum, odd);
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();
#endif
