// The product of a matrix and a panel of 16 columns with a fixed order of sums, for all SIMD targets:
//   out[r][c] = sum_k a[r][k] b[k][c]
// for a [rows, k] with stride lda, a contiguous b [k, 16] and out [rows, 16] with stride ldo. Sums run over k in order,
// without fused multiply-adds, in chunks of 128 terms. The sums of chunks are then added in order, which keeps rounding
// errors near sqrt(128) units instead of sqrt(k). Cost: 16 multiply-adds per cycle with AVX2 while the chunk of b is in
// the first-level cache.
#if defined(OCC_SIMD_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCC_SIMD_PRODUCT_INL_H_
#undef OCC_SIMD_PRODUCT_INL_H_
#else
#define OCC_SIMD_PRODUCT_INL_H_
#endif

#include <cstddef>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr size_t kProductChunk = 128;

// Two vectors side by side: one tile of 4 rows then has 8 independent sums.
template <typename T>
using ProductTag = hn::CappedTag<T, 8>;

template <typename T>
HWY_INLINE void ProductTile4(const T* HWY_RESTRICT a, size_t lda, const T* HWY_RESTRICT b, size_t k, bool add,
                             T* HWY_RESTRICT out, size_t ldo) {
  const ProductTag<T> d;
  const size_t n = hn::Lanes(d);
  for (size_t c = 0; c < 16; c += 2 * n) {
    auto s00 = hn::Zero(d), s01 = s00, s10 = s00, s11 = s00, s20 = s00, s21 = s00, s30 = s00, s31 = s00;
    for (size_t i = 0; i < k; ++i) {
      const auto b0 = hn::LoadU(d, b + 16 * i + c), b1 = hn::LoadU(d, b + 16 * i + c + n);
      const auto a0 = hn::Set(d, a[i]), a1 = hn::Set(d, a[lda + i]);
      s00 = hn::Add(s00, hn::Mul(a0, b0));
      s01 = hn::Add(s01, hn::Mul(a0, b1));
      s10 = hn::Add(s10, hn::Mul(a1, b0));
      s11 = hn::Add(s11, hn::Mul(a1, b1));
      const auto a2 = hn::Set(d, a[2 * lda + i]), a3 = hn::Set(d, a[3 * lda + i]);
      s20 = hn::Add(s20, hn::Mul(a2, b0));
      s21 = hn::Add(s21, hn::Mul(a2, b1));
      s30 = hn::Add(s30, hn::Mul(a3, b0));
      s31 = hn::Add(s31, hn::Mul(a3, b1));
    }
    const auto put = [&](auto s0, auto s1, T* to) HWY_ATTR {
      hn::StoreU(add ? hn::Add(hn::LoadU(d, to), s0) : s0, d, to);
      hn::StoreU(add ? hn::Add(hn::LoadU(d, to + n), s1) : s1, d, to + n);
    };
    put(s00, s01, out + c);
    put(s10, s11, out + ldo + c);
    put(s20, s21, out + 2 * ldo + c);
    put(s30, s31, out + 3 * ldo + c);
  }
}

template <typename T>
HWY_INLINE void ProductTile1(const T* HWY_RESTRICT a, const T* HWY_RESTRICT b, size_t k, bool add,
                             T* HWY_RESTRICT out) {
  const ProductTag<T> d;
  for (size_t c = 0; c < 16; c += hn::Lanes(d)) {
    auto s = hn::Zero(d);
    for (size_t i = 0; i < k; ++i) s = hn::Add(s, hn::Mul(hn::Set(d, a[i]), hn::LoadU(d, b + 16 * i + c)));
    hn::StoreU(add ? hn::Add(hn::LoadU(d, out + c), s) : s, d, out + c);
  }
}

// One chunk, k <= kProductChunk; `add`: out += instead of out =.
template <typename T>
HWY_INLINE void ProductChunk(const T* a, size_t lda, size_t rows, const T* b, size_t k, bool add, T* out, size_t ldo) {
  size_t r = 0;
  for (; r + 4 <= rows; r += 4) ProductTile4(a + r * lda, lda, b, k, add, out + r * ldo, ldo);
  for (; r < rows; ++r) ProductTile1(a + r * lda, b, k, add, out + r * ldo);
}

// Any k; k = 0 gives zeros.
template <typename T>
HWY_INLINE void ProductPanel(const T* a, size_t lda, size_t rows, const T* b, size_t k, T* out, size_t ldo) {
  size_t i = 0;
  do {
    const size_t chunk = k - i < kProductChunk ? k - i : kProductChunk;
    ProductChunk(a + i, lda, rows, b + 16 * i, chunk, i != 0, out, ldo);
    i += chunk;
  } while (i < k);
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();
#endif
