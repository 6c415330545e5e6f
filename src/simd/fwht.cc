#include "simd/fwht.h"

#include <bit>

#include "base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/fwht.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#define OCC_BUTTERFLY(a, b)         \
  do {                              \
    const auto sum = hn::Add(a, b); \
    b = hn::Sub(a, b);              \
    a = sum;                        \
  } while (false)

// One pass of log2(kRadix) stages with distances h, 2h, .. over `length` elements; h is a multiple of the lanes.
template <size_t kRadix, bool kScale, class D, typename T = hn::TFromD<D>>
HWY_INLINE void Pass(D d, T* HWY_RESTRICT data, size_t length, size_t h, T scale) {
  const size_t lanes = hn::Lanes(d);
  const auto s = hn::Set(d, scale);
  const auto put = [&](auto v, T* to) HWY_ATTR { hn::StoreU(kScale ? hn::Mul(v, s) : v, d, to); };
  for (size_t base = 0; base < length; base += kRadix * h) {
    for (size_t j = base; j < base + h; j += lanes) {
      T* p = data + j;
      auto v0 = hn::LoadU(d, p), v1 = hn::LoadU(d, p + h);
      if constexpr (kRadix == 2) {
        OCC_BUTTERFLY(v0, v1);
        put(v0, p), put(v1, p + h);
      } else {
        auto v2 = hn::LoadU(d, p + 2 * h), v3 = hn::LoadU(d, p + 3 * h);
        OCC_BUTTERFLY(v0, v1);
        OCC_BUTTERFLY(v2, v3);
        OCC_BUTTERFLY(v0, v2);
        OCC_BUTTERFLY(v1, v3);
        if constexpr (kRadix == 4) {
          put(v0, p), put(v1, p + h), put(v2, p + 2 * h), put(v3, p + 3 * h);
        } else {
          T* q = p + 4 * h;
          auto v4 = hn::LoadU(d, q), v5 = hn::LoadU(d, q + h);
          auto v6 = hn::LoadU(d, q + 2 * h), v7 = hn::LoadU(d, q + 3 * h);
          OCC_BUTTERFLY(v4, v5);
          OCC_BUTTERFLY(v6, v7);
          OCC_BUTTERFLY(v4, v6);
          OCC_BUTTERFLY(v5, v7);
          OCC_BUTTERFLY(v0, v4);
          OCC_BUTTERFLY(v1, v5);
          OCC_BUTTERFLY(v2, v6);
          OCC_BUTTERFLY(v3, v7);
          put(v0, p), put(v1, p + h), put(v2, p + 2 * h), put(v3, p + 3 * h);
          put(v4, q), put(v5, q + h), put(v6, q + 2 * h), put(v7, q + 3 * h);
        }
      }
    }
  }
}

// Stages with distances h, 2h, .., length / 2, then the scale (1: none).
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void Stages(D d, T* data, size_t length, size_t h, T scale) {
  while (h < length) {
    const size_t left = length / h;  // 2^stages
    const size_t radix = left >= 8 ? 8 : left;
    const bool last = radix == left && scale != T{1};
    if (radix == 8) {
      last ? Pass<8, true>(d, data, length, h, scale) : Pass<8, false>(d, data, length, h, scale);
    } else if (radix == 4) {
      last ? Pass<4, true>(d, data, length, h, scale) : Pass<4, false>(d, data, length, h, scale);
    } else {
      last ? Pass<2, true>(d, data, length, h, scale) : Pass<2, false>(d, data, length, h, scale);
    }
    h *= radix;
  }
}

using DF = hn::CappedTag<float, 16>;
using VF = hn::Vec<DF>;

// The stages with distances 1 .. lanes / 2 inside one vector: exchange partners, negate the upper ones, add. a - b and
// (-b) + a are the same float.
struct InVector {
  VF sign1, sign2;
#if HWY_TARGET == HWY_AVX2
  VF sign4;
#else
  HWY_ALIGN float sign_far[3][16];
  HWY_ALIGN int32_t partner[3][16];
#endif

  HWY_INLINE InVector() {
    const DF d;
    HWY_ALIGN float s[16];
    const auto fill = [&](float* to, size_t distance) {
      for (size_t i = 0; i < 16; ++i) to[i] = (i & distance) != 0 ? -0.0f : 0.0f;
    };
    fill(s, 1);
    sign1 = hn::Load(d, s);
    fill(s, 2);
    sign2 = hn::Load(d, s);
#if HWY_TARGET == HWY_AVX2
    fill(s, 4);
    sign4 = hn::Load(d, s);
#else
    for (size_t k = 0; k < 3; ++k) {
      fill(sign_far[k], size_t{4} << k);
      for (size_t i = 0; i < 16; ++i) partner[k][i] = static_cast<int32_t>(i ^ (size_t{4} << k));
    }
#endif
  }

  HWY_INLINE VF Run(VF v) const {
    const DF d;
    v = hn::Add(hn::Shuffle2301(v), hn::Xor(v, sign1));
    v = hn::Add(hn::Shuffle1032(v), hn::Xor(v, sign2));
#if HWY_TARGET == HWY_AVX2
    v = hn::Add(hn::ConcatLowerUpper(d, v, v), hn::Xor(v, sign4));
#else
    size_t k = 0;
    for (size_t distance = 4; distance < hn::Lanes(d); distance *= 2, ++k) {
      const auto exchanged = hn::TableLookupLanes(v, hn::SetTableIndices(d, partner[k]));
      v = hn::Add(exchanged, hn::Xor(v, hn::Load(d, sign_far[k])));
    }
#endif
    return v;
  }
};

// Distances 1 .. 4 * lanes of 8 vectors in registers, over the whole block.
template <bool kScale>
HWY_INLINE void FirstPass(const InVector& in, float* HWY_RESTRICT data, size_t length, float scale) {
  const DF d;
  const size_t n = hn::Lanes(d);
  const auto s = hn::Set(d, scale);
  const auto put = [&](VF v, float* to) HWY_ATTR { hn::StoreU(kScale ? hn::Mul(v, s) : v, d, to); };
  for (size_t i = 0; i < length; i += 8 * n) {
    float* p = data + i;
    auto v0 = in.Run(hn::LoadU(d, p)), v1 = in.Run(hn::LoadU(d, p + n));
    OCC_BUTTERFLY(v0, v1);
    auto v2 = in.Run(hn::LoadU(d, p + 2 * n)), v3 = in.Run(hn::LoadU(d, p + 3 * n));
    OCC_BUTTERFLY(v2, v3);
    OCC_BUTTERFLY(v0, v2);
    OCC_BUTTERFLY(v1, v3);
    auto v4 = in.Run(hn::LoadU(d, p + 4 * n)), v5 = in.Run(hn::LoadU(d, p + 5 * n));
    OCC_BUTTERFLY(v4, v5);
    auto v6 = in.Run(hn::LoadU(d, p + 6 * n)), v7 = in.Run(hn::LoadU(d, p + 7 * n));
    OCC_BUTTERFLY(v6, v7);
    OCC_BUTTERFLY(v4, v6);
    OCC_BUTTERFLY(v5, v7);
    OCC_BUTTERFLY(v0, v4);
    OCC_BUTTERFLY(v1, v5);
    OCC_BUTTERFLY(v2, v6);
    OCC_BUTTERFLY(v3, v7);
    put(v0, p), put(v1, p + n), put(v2, p + 2 * n), put(v3, p + 3 * n);
    put(v4, p + 4 * n), put(v5, p + 5 * n), put(v6, p + 6 * n), put(v7, p + 7 * n);
  }
}

void FwhtKernel(float* HWY_RESTRICT data, size_t n, size_t count, float scale) {
  constexpr size_t kCached = 4096;  // stages inside 16 KiB first: a longer vector then passes less often through memory
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const InVector in;
  for (size_t i = 0; i < count; ++i, data += n) {
    if (n < lanes) {
      for (size_t h = 1; h < n; h *= 2) {
        for (size_t j = 0; j < n; ++j) {
          if ((j & h) != 0) continue;
          const float a = data[j], b = data[j + h];
          data[j] = a + b;
          data[j + h] = a - b;
        }
      }
      for (size_t j = 0; j < n; ++j) data[j] *= scale;
      continue;
    }
    if (n < 8 * lanes) {
      for (size_t j = 0; j < n; j += lanes) {
        const auto v = in.Run(hn::LoadU(d, data + j));
        hn::StoreU(n == lanes ? hn::Mul(v, hn::Set(d, scale)) : v, d, data + j);
      }
      Stages(d, data, n, lanes, scale);
      continue;
    }
    if (n == 8 * lanes) {
      FirstPass<true>(in, data, n, scale);
      continue;
    }
    const size_t inner = n < kCached ? n : kCached;
    for (size_t j = 0; j < n; j += inner) {
      FirstPass<false>(in, data + j, inner, 1.0f);
      Stages(d, data + j, inner, 8 * lanes, inner == n ? scale : 1.0f);
    }
    Stages(d, data, n, inner, scale);
  }
}

template <typename T>
HWY_INLINE void PanelStages(T* panel, size_t n, T scale) {
  constexpr size_t kCached = 128;  // rows: 8 KiB of floats
  const hn::CappedTag<T, 16> d;
  const size_t inner = n < kCached ? n : kCached;
  for (size_t i = 0; i < n; i += inner) Stages(d, panel + 16 * i, 16 * inner, 16, inner == n ? scale : T{1});
  if (inner < n) Stages(d, panel, 16 * n, 16 * inner, scale);
}

void FwhtPanelF32(float* panel, size_t n, float scale) { PanelStages(panel, n, scale); }
void FwhtPanelF64(double* panel, size_t n, double scale) { PanelStages(panel, n, scale); }

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(FwhtKernel);
HWY_EXPORT(FwhtPanelF32);
HWY_EXPORT(FwhtPanelF64);

float fwht_scale(size_t n) {
  OCC_CHECK(std::has_single_bit(n));
  const int exponent = std::countr_zero(n);
  float scale = exponent % 2 == 0 ? 1.0f : 0.70710678f;
  for (int i = 0; i < exponent / 2; ++i) scale *= 0.5f;
  return scale;
}

void fwht(float* data, size_t n, size_t count) {
  if (n > 1) HWY_DYNAMIC_DISPATCH(FwhtKernel)(data, n, count, fwht_scale(n));
}

void fwht_panel(float* panel, size_t n) {
  if (n > 1) HWY_DYNAMIC_DISPATCH(FwhtPanelF32)(panel, n, fwht_scale(n));
}

void fwht_panel(double* panel, size_t n) {
  const int exponent = std::countr_zero(n);
  const double root = exponent % 2 == 0 ? 1.0 : 0.70710678118654752440;
  OCC_CHECK(std::has_single_bit(n));
  if (n > 1) HWY_DYNAMIC_DISPATCH(FwhtPanelF64)(panel, n, root / static_cast<double>(uint64_t{1} << (exponent / 2)));
}

}  // namespace occ
#endif
