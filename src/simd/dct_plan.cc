#include "simd/dct_plan.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "base/check.h"
#include "simd/trig.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/dct_plan.cc"
#include "hwy/foreach_target.h"
#include "simd/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {

constexpr double kHalfRoot = 0.70710678118654752440;
constexpr double kCos8 = 0.92387953251128675613, kSin8 = 0.38268343236508977173;      // of pi / 8
constexpr double kCos16 = 0.98078528040323044913, kSin16 = 0.19509032201612826785;    // of pi / 16
constexpr double kCos316 = 0.83146961230254523708, kSin316 = 0.55557023301960222474;  // of 3 pi / 16

// The recursion over one plan. A row is 16 elements; row i of p is p + 16 i.
template <typename T>
struct DctKernel {
  using D = hn::CappedTag<T, 16>;
  using V = hn::Vec<D>;
  const DctPlan<T>& plan;
  T* rows;  // [4 * odd] for rows made on the fly

  static HWY_INLINE V Get(const T* p) { return hn::LoadU(D(), p); }
  static HWY_INLINE void Put(V v, T* p) { hn::StoreU(v, D(), p); }
  static HWY_INLINE V Const(double c) { return hn::Set(D(), static_cast<T>(c)); }
  // a c + b s and a s - b c.
  static HWY_INLINE V Turn(V a, V b, V c, V s) { return hn::Add(hn::Mul(a, c), hn::Mul(b, s)); }
  static HWY_INLINE V TurnBack(V a, V b, V c, V s) { return hn::Sub(hn::Mul(a, s), hn::Mul(b, c)); }
  static HWY_INLINE V Sum(V a, V b) { return hn::Mul(hn::Add(a, b), Const(kHalfRoot)); }
  static HWY_INLINE V Difference(V a, V b) { return hn::Mul(hn::Sub(a, b), Const(kHalfRoot)); }

  // In registers: DCT-II of 4, its inverse, DCT-IV of 4 (its own inverse).
  static HWY_INLINE void Dct2Of4(V& x0, V& x1, V& x2, V& x3) {
    const V e0 = Sum(x0, x3), e1 = Sum(x1, x2), o0 = Difference(x0, x3), o1 = Difference(x1, x2);
    x0 = Sum(e0, e1);
    x2 = Difference(e0, e1);
    x1 = Turn(o0, o1, Const(kCos8), Const(kSin8));
    x3 = TurnBack(o0, o1, Const(kCos8), Const(kSin8));
  }
  static HWY_INLINE void Dct3Of4(V& x0, V& x1, V& x2, V& x3) {
    const V e0 = Sum(x0, x2), e1 = Difference(x0, x2);
    const V o0 = Turn(x1, x3, Const(kCos8), Const(kSin8)), o1 = TurnBack(x1, x3, Const(kCos8), Const(kSin8));
    x0 = Sum(e0, o0);
    x3 = Difference(e0, o0);
    x1 = Sum(e1, o1);
    x2 = Difference(e1, o1);
  }
  static HWY_INLINE void Dct4Of4(V& x0, V& x1, V& x2, V& x3) {
    const V u0 = Turn(x0, x3, Const(kCos16), Const(kSin16)), v0 = TurnBack(x0, x3, Const(kCos16), Const(kSin16));
    const V u1 = Turn(x1, x2, Const(kCos316), Const(kSin316)), v1 = TurnBack(x1, x2, Const(kCos316), Const(kSin316));
    // v0, v1 have the opposite sign of the rotation's.
    const V a = hn::Sub(u0, u1), b = hn::Add(v0, v1), half = Const(0.5);
    x0 = Sum(u0, u1);
    x3 = Difference(v0, v1);
    x1 = hn::Mul(hn::Add(a, b), half);
    x2 = hn::Mul(hn::Sub(a, b), half);
  }

  // Runs body(offset within the rows) for all vectors of a row.
  template <typename Body>
  static HWY_INLINE void Lanes(const Body& body) {
    for (size_t v = 0; v < 16; v += hn::Lanes(D())) body(v);
  }

  // Powers of two up to 8. Input rows stride `is`, output rows stride `os`.
  static void SmallDct2(size_t n, const T* x, size_t is, T* out, size_t os) {
    is *= 16, os *= 16;
    if (n == 1) {
      Lanes([&](size_t v) HWY_ATTR { Put(Get(x + v), out + v); });
    } else if (n == 2) {
      Lanes([&](size_t v) HWY_ATTR {
        const V a = Get(x + v), b = Get(x + is + v);
        Put(Sum(a, b), out + v);
        Put(Difference(a, b), out + os + v);
      });
    } else if (n == 4) {
      Lanes([&](size_t v) HWY_ATTR {
        V x0 = Get(x + v), x1 = Get(x + is + v), x2 = Get(x + 2 * is + v), x3 = Get(x + 3 * is + v);
        Dct2Of4(x0, x1, x2, x3);
        Put(x0, out + v), Put(x1, out + os + v), Put(x2, out + 2 * os + v), Put(x3, out + 3 * os + v);
      });
    } else {
      Lanes([&](size_t v) HWY_ATTR {
        const V x0 = Get(x + v), x1 = Get(x + is + v), x2 = Get(x + 2 * is + v), x3 = Get(x + 3 * is + v);
        const V x4 = Get(x + 4 * is + v), x5 = Get(x + 5 * is + v), x6 = Get(x + 6 * is + v), x7 = Get(x + 7 * is + v);
        V e0 = Sum(x0, x7), e1 = Sum(x1, x6), e2 = Sum(x2, x5), e3 = Sum(x3, x4);
        V o0 = Difference(x0, x7), o1 = Difference(x1, x6), o2 = Difference(x2, x5), o3 = Difference(x3, x4);
        Dct2Of4(e0, e1, e2, e3);
        Dct4Of4(o0, o1, o2, o3);
        Put(e0, out + v), Put(e1, out + 2 * os + v), Put(e2, out + 4 * os + v), Put(e3, out + 6 * os + v);
        Put(o0, out + os + v), Put(o1, out + 3 * os + v), Put(o2, out + 5 * os + v), Put(o3, out + 7 * os + v);
      });
    }
  }
  static void SmallDct3(size_t n, const T* x, size_t is, T* out) {
    if (n <= 2) return SmallDct2(n, x, is, out, 1);  // symmetric
    is *= 16;
    if (n == 4) {
      Lanes([&](size_t v) HWY_ATTR {
        V x0 = Get(x + v), x1 = Get(x + is + v), x2 = Get(x + 2 * is + v), x3 = Get(x + 3 * is + v);
        Dct3Of4(x0, x1, x2, x3);
        Put(x0, out + v), Put(x1, out + 16 + v), Put(x2, out + 32 + v), Put(x3, out + 48 + v);
      });
    } else {
      Lanes([&](size_t v) HWY_ATTR {
        V e0 = Get(x + v), e1 = Get(x + 2 * is + v), e2 = Get(x + 4 * is + v), e3 = Get(x + 6 * is + v);
        V o0 = Get(x + is + v), o1 = Get(x + 3 * is + v), o2 = Get(x + 5 * is + v), o3 = Get(x + 7 * is + v);
        Dct3Of4(e0, e1, e2, e3);
        Dct4Of4(o0, o1, o2, o3);
        Put(Sum(e0, o0), out + v), Put(Sum(e1, o1), out + 16 + v);
        Put(Sum(e2, o2), out + 32 + v), Put(Sum(e3, o3), out + 48 + v);
        Put(Difference(e3, o3), out + 64 + v), Put(Difference(e2, o2), out + 80 + v);
        Put(Difference(e1, o1), out + 96 + v), Put(Difference(e0, o0), out + 112 + v);
      });
    }
  }

  // Odd lengths: x contiguous, out with stride os.
  void Direct(typename DctPlan<T>::Kind kind, const T* x, T* out, size_t os) const {
    const size_t m = plan.odd();
    if (const T* matrix = plan.matrix(kind); matrix != nullptr) return ProductPanel(matrix, m, m, x, m, out, 16 * os);
    for (size_t r = 0; r < m; r += 4) {
      const size_t count = m - r < 4 ? m - r : 4;
      plan.fill_rows(kind, r, count, rows);
      ProductPanel(rows, m, count, x, m, out + r * 16 * os, 16 * os);
    }
  }
  void GatherAndDirect(typename DctPlan<T>::Kind kind, const T* x, size_t is, T* out, T* scratch) const {
    for (size_t i = 0; i < plan.odd(); ++i) std::memcpy(scratch + 16 * i, x + 16 * i * is, 16 * sizeof(T));
    Direct(kind, scratch, out, 1);
  }

  // Rows j and n-1-j become their sum and difference over sqrt(2).
  static HWY_INLINE void Fold(T* x, size_t n) {
    for (T *low = x, *high = x + 16 * (n - 1); low < high; low += 16, high -= 16) {
      Lanes([&](size_t v) HWY_ATTR {
        const V a = Get(low + v), b = Get(high + v);
        Put(Sum(a, b), low + v);
        Put(Difference(a, b), high + v);
      });
    }
  }

  // x contiguous, destroyed.
  void Dct2(size_t level, T* x, T* out, size_t os, T* scratch) const {
    const size_t n = plan.length(level);
    if (n == 1 || (plan.odd() == 1 && n <= 8)) return SmallDct2(n, x, 1, out, os);
    if (n % 2 != 0) return Direct(DctPlan<T>::kDct2, x, out, os);
    Fold(x, n);  // the differences end up reversed
    Dct2(level + 1, x, out, 2 * os, scratch);
    Dct4(level + 1, x + 8 * n, out + 16 * os, 2 * os, scratch);
  }

  // z: the input reversed, contiguous, destroyed.
  void Dct4(size_t level, T* z, T* out, size_t os, T* scratch) const {
    const size_t n = plan.length(level), half = n / 2;
    if (n == 1) return SmallDct2(1, z, 1, out, os);
    if (n % 2 != 0) return Direct(DctPlan<T>::kDct4, z, out, os);
    const T* w = plan.rotations(level);
    for (size_t j = 0; j < half; ++j, w += 4) {
      T* low = z + 16 * j;
      T* high = z + 16 * (n - 1 - j);
      const V c = hn::Set(D(), w[0]), s = hn::Set(D(), w[1]), signed_c = hn::Set(D(), w[2]),
              signed_s = hn::Set(D(), w[3]);
      Lanes([&](size_t v) HWY_ATTR {
        const V a = Get(high + v), b = Get(low + v);  // elements j and n-1-j
        Put(Turn(a, b, c, s), low + v);
        Put(hn::Sub(hn::Mul(b, signed_c), hn::Mul(a, signed_s)), high + v);
      });
    }
    T* even = scratch;
    T* rest = scratch + 16 * half;
    Dct2(level + 1, z, even, 1, scratch + 16 * n);
    Dct2(level + 1, z + 16 * half, rest, 1, scratch + 16 * n);
    Lanes([&](size_t v) HWY_ATTR {
      Put(Get(even + v), out + v);
      Put(hn::Neg(Get(rest + v)), out + 16 * os * (n - 1) + v);
    });
    for (size_t p = 1; p < half; ++p) {
      const T* a = even + 16 * p;
      const T* b = rest + 16 * (half - p);
      const size_t odd = (half - p) % 2;  // b has the other sign: sum and difference change places
      T* sum = out + 16 * os * (2 * p - odd);
      T* difference = out + 16 * os * (2 * p - 1 + odd);
      Lanes([&](size_t v) HWY_ATTR {
        Put(Sum(Get(a + v), Get(b + v)), sum + v);
        Put(Difference(Get(a + v), Get(b + v)), difference + v);
      });
    }
  }

  // The mirror images: input with stride, output contiguous.
  void Dct3(size_t level, const T* y, size_t is, T* out, T* scratch) const {
    const size_t n = plan.length(level);
    if (n == 1 || (plan.odd() == 1 && n <= 8)) return SmallDct3(n, y, is, out);
    if (n % 2 != 0) return GatherAndDirect(DctPlan<T>::kDct3, y, is, out, scratch);
    Dct3(level + 1, y, 2 * is, out, scratch);
    InverseDct4(level + 1, y + 16 * is, 2 * is, out + 8 * n, scratch);
    Fold(out, n);
  }

  // z: the output reversed.
  void InverseDct4(size_t level, const T* y, size_t is, T* z, T* scratch) const {
    const size_t n = plan.length(level), half = n / 2;
    if (n == 1) return SmallDct2(1, y, 1, z, 1);
    if (n % 2 != 0) return GatherAndDirect(DctPlan<T>::kDct4Transposed, y, is, z, scratch);
    T* even = scratch;
    T* rest = scratch + 16 * half;
    Lanes([&](size_t v) HWY_ATTR {
      Put(Get(y + v), even + v);
      Put(hn::Neg(Get(y + 16 * is * (n - 1) + v)), rest + v);
    });
    for (size_t p = 1; p < half; ++p) {
      const size_t odd = (half - p) % 2;
      const T* sum = y + 16 * is * (2 * p - odd);
      const T* difference = y + 16 * is * (2 * p - 1 + odd);
      Lanes([&](size_t v) HWY_ATTR {
        Put(Sum(Get(sum + v), Get(difference + v)), even + 16 * p + v);
        Put(Difference(Get(sum + v), Get(difference + v)), rest + 16 * (half - p) + v);
      });
    }
    Dct3(level + 1, even, 1, z, scratch + 16 * n);
    Dct3(level + 1, rest, 1, z + 16 * half, scratch + 16 * n);
    const T* w = plan.rotations(level);
    for (size_t j = 0; j < half; ++j, w += 4) {
      T* low = z + 16 * j;
      T* high = z + 16 * (n - 1 - j);
      const V c = hn::Set(D(), w[0]), s = hn::Set(D(), w[1]), signed_c = hn::Set(D(), w[2]),
              signed_s = hn::Set(D(), w[3]);
      Lanes([&](size_t v) HWY_ATTR {
        const V u = Get(low + v), r = Get(high + v);
        Put(hn::Sub(hn::Mul(u, c), hn::Mul(r, signed_s)), high + v);
        Put(hn::Add(hn::Mul(u, s), hn::Mul(r, signed_c)), low + v);
      });
    }
  }
};

void DctForwardF32(const DctPlan<float>& plan, float* x, float* out, float* scratch) {
  DctKernel<float>{plan, scratch + 16 * plan.size()}.Dct2(0, x, out, 1, scratch);
}
void DctInverseF32(const DctPlan<float>& plan, const float* y, float* out, float* scratch) {
  DctKernel<float>{plan, scratch + 16 * plan.size()}.Dct3(0, y, 1, out, scratch);
}
void DctForwardF64(const DctPlan<double>& plan, double* x, double* out, double* scratch) {
  DctKernel<double>{plan, scratch + 16 * plan.size()}.Dct2(0, x, out, 1, scratch);
}
void DctInverseF64(const DctPlan<double>& plan, const double* y, double* out, double* scratch) {
  DctKernel<double>{plan, scratch + 16 * plan.size()}.Dct3(0, y, 1, out, scratch);
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(DctForwardF32);
HWY_EXPORT(DctInverseF32);
HWY_EXPORT(DctForwardF64);
HWY_EXPORT(DctInverseF64);

namespace {
constexpr size_t kMaxStoredMatrix = 1024;
}

template <typename T>
DctPlan<T>::DctPlan(size_t n) : n_(n), odd_(n >> std::countr_zero(n)) {
  OCC_CHECK(n >= 1 && n <= kMaxLength && odd_ <= kMaxOdd);
  // Levels of even length that a DCT-IV may have: all but the first.
  rotations_.resize(static_cast<size_t>(std::countr_zero(n)) + 1);
  for (size_t level = 1; level + 1 < rotations_.size(); ++level) {
    const size_t len = length(level);
    std::vector<T>& w = rotations_[level];
    w.reserve(2 * len);
    for (size_t j = 0; j < len / 2; ++j) {
      const double c = cos_pi(2 * j + 1, 4 * len), s = sin_pi(2 * j + 1, 4 * len), sign = j % 2 == 0 ? 1 : -1;
      for (const double v : {c, s, sign * c, sign * s}) w.push_back(static_cast<T>(v));
    }
  }
  if (odd_ == 1) return;
  cosines_.resize(8 * odd_);
  for (size_t t = 0; t < cosines_.size(); ++t) cosines_[t] = cos_pi(t, 4 * odd_);
  if (odd_ > kMaxStoredMatrix) return;
  for (const Kind kind : {kDct2, kDct3, kDct4, kDct4Transposed}) {
    if (n == odd_ && kind >= kDct4) continue;  // a DCT-IV occurs only below an even length
    matrices_[kind].resize(odd_ * odd_);
    fill_rows(kind, 0, odd_, matrices_[kind].data());
  }
}

template <typename T>
void DctPlan<T>::fill_rows(Kind kind, size_t row, size_t count, T* rows) const {
  const size_t m = odd_, period = 8 * m;
  const double scale = std::sqrt(2.0 / static_cast<double>(m));  // correctly rounded by IEEE 754
  for (size_t r = row; r < row + count; ++r) {
    for (size_t c = 0; c < m; ++c) {
      // Element (k, j) of the DCT-II, or (k, j) of the DCT-IV with the input j reversed.
      const size_t k = kind == kDct2 || kind == kDct4 ? r : c, j = kind == kDct2 || kind == kDct4 ? c : r;
      if (kind <= kDct3) {
        const double value = k == 0 ? scale * 0.70710678118654752440 : scale * cosines_[2 * (2 * j + 1) * k % period];
        *rows++ = static_cast<T>(value);
      } else {
        *rows++ = static_cast<T>(scale * cosines_[(2 * (m - 1 - j) + 1) * (2 * k + 1) % period]);
      }
    }
  }
}

template <typename T>
void DctPlan<T>::forward(T* x, T* out, T* scratch) const {
  if constexpr (std::is_same_v<T, float>) {
    HWY_DYNAMIC_DISPATCH(DctForwardF32)(*this, x, out, scratch);
  } else {
    HWY_DYNAMIC_DISPATCH(DctForwardF64)(*this, x, out, scratch);
  }
}

template <typename T>
void DctPlan<T>::inverse(const T* y, T* out, T* scratch) const {
  if constexpr (std::is_same_v<T, float>) {
    HWY_DYNAMIC_DISPATCH(DctInverseF32)(*this, y, out, scratch);
  } else {
    HWY_DYNAMIC_DISPATCH(DctInverseF64)(*this, y, out, scratch);
  }
}

template class DctPlan<float>;
template class DctPlan<double>;

}  // namespace occ
#endif
