#include "operators/int8_kernels.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "operators/int8_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "operators/sums-inl.h"

#ifndef OCC_OPERATORS_INT8_KERNELS_ONCE
#define OCC_OPERATORS_INT8_KERNELS_ONCE
namespace occ {

// How sums of products stay exact: pairs added up in int16 so many times, or (kWide) every product in int32.
constexpr int kWide = 0;
inline int int16_depth(unsigned most) { return most > 127 ? kWide : most > 63 ? 1 : most > 31 ? 2 : most > 15 ? 4 : 8; }

}  // namespace occ
#endif

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE

void DotsPlain(const CellDots& cell, size_t segment_groups, const float* factors, size_t factor_stride,
               const float* base, const float* sums, size_t sum_stride) {
  for (size_t b = 0; b < cell.batch; ++b) {
    for (size_t r = 0; r < cell.rows; ++r) {
      float total = base == nullptr ? 0 : base[r] * sums[b * sum_stride];
      for (size_t g = 0; g < cell.groups; g += segment_groups) {
        int32_t dot = 0;
        for (size_t c = g * kGroupColumns; c < std::min(cell.groups, g + segment_groups) * kGroupColumns; ++c) {
          dot += cell.k[r * kCellColumns + c] * cell.x[b * cell.x_stride + c];
        }
        total +=
            static_cast<float>(dot) * (factors == nullptr ? 1.0f : factors[r * factor_stride + g / segment_groups]);
      }
      cell.y[b * kCellRows + r] += cell.scales[b * cell.scale_stride] * total;
    }
  }
}

void AllDots(const CellDots& cell, const float* base, const float* sums, size_t sum_stride) {
  DotsPlain(cell, cell.groups, nullptr, 0, base, sums, sum_stride);
}
void AllSegmentDots(const CellDots& cell, size_t segment, const float* factors, size_t stride) {
  DotsPlain(cell, segment, factors, stride, nullptr, nullptr, 0);
}

#else

// Two vectors of bytes, products of pairs added up in int16.
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

// sum += products of kVectors vectors of k and x, each of the lanes of d (bytes).
template <int kDepth, size_t kVectors, class D, class V32>
HWY_INLINE void AddDot(D d, const uint8_t* HWY_RESTRICT k, const int8_t* HWY_RESTRICT x, V32& sum) {
  const hn::RebindToSigned<D> di;
  const hn::Repartition<int16_t, D> d16;
  const hn::Repartition<int32_t, D> d32;
  constexpr size_t kN = hn::MaxLanes(D());
#if OCC_INT8_PAIRS
  if constexpr (kDepth != kWide) {
    constexpr size_t kStep = kVectors < size_t{kDepth} ? kVectors : size_t{kDepth};
    V32 unused = hn::Zero(d32);
    for (size_t v = 0; v < kVectors; v += kStep) {
      auto pairs = MulPairs(hn::Load(d, k + v * kN), hn::LoadU(di, x + v * kN));
      for (size_t i = v + 1; i < v + kStep; ++i) {
        pairs = hn::Add(pairs, MulPairs(hn::Load(d, k + i * kN), hn::LoadU(di, x + i * kN)));
      }
      sum = hn::ReorderWidenMulAccumulate(d32, pairs, hn::Set(d16, int16_t{1}), sum, unused);
    }
    return;
  }
#endif
  V32 odd = hn::Zero(d32);
  const hn::Repartition<uint16_t, D> du16;
  for (size_t v = 0; v < kVectors; ++v) {
    const auto kv = hn::BitCast(du16, hn::Load(d, k + v * kN));
    const auto xv = hn::BitCast(d16, hn::LoadU(di, x + v * kN));
    const auto k_even = hn::BitCast(d16, hn::And(kv, hn::Set(du16, uint16_t{255})));
    const auto k_odd = hn::BitCast(d16, hn::ShiftRight<8>(kv));
    const auto x_even = hn::ShiftRight<8>(hn::ShiftLeft<8>(xv)), x_odd = hn::ShiftRight<8>(xv);
    sum = hn::ReorderWidenMulAccumulate(d32, k_even, x_even, sum, odd);
    sum = hn::ReorderWidenMulAccumulate(d32, k_odd, x_odd, sum, odd);
  }
  sum = hn::Add(sum, odd);
}

// Four rows and one input.
template <int kDepth, size_t kGroups>
void Dots(const CellDots& cell, const float* base, const float* sums, size_t sum_stride) {
  const hn::CappedTag<uint8_t, (kGroups * kGroupColumns < 64 ? 32 : 64)> d;
  using D = decltype(d);
  const hn::Repartition<int32_t, D> d32;
  const hn::FixedTag<float, 4> df;
  constexpr size_t kVectors = kGroups * kGroupColumns / hn::MaxLanes(D());
  for (size_t b = 0; b < cell.batch; ++b) {
    const int8_t* HWY_RESTRICT x = cell.x + b * cell.x_stride;
    const auto scale = hn::Set(df, cell.scales[b * cell.scale_stride]);
    const auto x_sum = hn::Set(df, sums[b * sum_stride]);
    float* HWY_RESTRICT y = cell.y + b * kCellRows;
    for (size_t r = 0; r < cell.rows; r += 4) {
      const uint8_t* HWY_RESTRICT k = cell.k + r * kCellColumns;
      auto s0 = hn::Zero(d32), s1 = s0, s2 = s0, s3 = s0;
      AddDot<kDepth, kVectors>(d, k, x, s0);
      AddDot<kDepth, kVectors>(d, k + kCellColumns, x, s1);
      AddDot<kDepth, kVectors>(d, k + 2 * kCellColumns, x, s2);
      AddDot<kDepth, kVectors>(d, k + 3 * kCellColumns, x, s3);
      const auto dots = hn::ConvertTo(df, SumsOfLanes4(d32, s0, s1, s2, s3));
      const auto total = hn::MulAdd(hn::LoadU(df, base + r), x_sum, dots);
      hn::StoreU(hn::MulAdd(total, scale, hn::LoadU(df, y + r)), df, y + r);
    }
  }
}

// Four rows and one input, a factor for every row and kSegment groups.
template <int kDepth, size_t kSegment>
void SegmentDots(const CellDots& cell, const float* factors, size_t factor_stride) {
  const hn::CappedTag<uint8_t, 32> d;
  const hn::Repartition<int32_t, decltype(d)> d32;
  const hn::Repartition<float, decltype(d)> df;
  const hn::FixedTag<float, 4> df4;
  constexpr size_t kColumns = kSegment * kGroupColumns, kVectors = kColumns / hn::MaxLanes(decltype(d)());
  for (size_t b = 0; b < cell.batch; ++b) {
    const int8_t* HWY_RESTRICT x = cell.x + b * cell.x_stride;
    const auto scale = hn::Set(df4, cell.scales[b * cell.scale_stride]);
    float* HWY_RESTRICT y = cell.y + b * kCellRows;
    for (size_t r = 0; r < cell.rows; r += 4) {
      const float* HWY_RESTRICT f = factors + r * factor_stride;
      // Rows beyond the last take its factors.
      const size_t f1 = r + 1 < cell.rows ? factor_stride : 0, f2 = r + 2 < cell.rows ? f1 + factor_stride : f1,
                   f3 = r + 3 < cell.rows ? f2 + factor_stride : f2;
      auto s0 = hn::Zero(df), s1 = s0, s2 = s0, s3 = s0;
      for (size_t s = 0; s * kSegment < cell.groups; ++s) {
        const uint8_t* HWY_RESTRICT k = cell.k + r * kCellColumns + s * kColumns;
        const int8_t* HWY_RESTRICT xs = x + s * kColumns;
        auto i0 = hn::Zero(d32), i1 = i0, i2 = i0, i3 = i0;
        AddDot<kDepth, kVectors>(d, k, xs, i0);
        AddDot<kDepth, kVectors>(d, k + kCellColumns, xs, i1);
        AddDot<kDepth, kVectors>(d, k + 2 * kCellColumns, xs, i2);
        AddDot<kDepth, kVectors>(d, k + 3 * kCellColumns, xs, i3);
        s0 = hn::MulAdd(hn::ConvertTo(df, i0), hn::Set(df, f[s]), s0);
        s1 = hn::MulAdd(hn::ConvertTo(df, i1), hn::Set(df, f[f1 + s]), s1);
        s2 = hn::MulAdd(hn::ConvertTo(df, i2), hn::Set(df, f[f2 + s]), s2);
        s3 = hn::MulAdd(hn::ConvertTo(df, i3), hn::Set(df, f[f3 + s]), s3);
      }
      const auto total = SumsOfLanes4(df, s0, s1, s2, s3);
      hn::StoreU(hn::MulAdd(total, scale, hn::LoadU(df4, y + r)), df4, y + r);
    }
  }
}

template <int kDepth>
void DotsAtDepth(const CellDots& cell, const float* base, const float* sums, size_t sum_stride) {
  cell.groups == 8   ? Dots<kDepth, 8>(cell, base, sums, sum_stride)
  : cell.groups == 4 ? Dots<kDepth, 4>(cell, base, sums, sum_stride)
                     : Dots<kDepth, 2>(cell, base, sums, sum_stride);
}
template <int kDepth>
void SegmentDotsAtDepth(const CellDots& cell, size_t segment, const float* factors, size_t stride) {
  segment == 1   ? SegmentDots<kDepth, 1>(cell, factors, stride)
  : segment == 2 ? SegmentDots<kDepth, 2>(cell, factors, stride)
  : segment == 4 ? SegmentDots<kDepth, 4>(cell, factors, stride)
                 : SegmentDots<kDepth, 8>(cell, factors, stride);
}

// Calls f with the depth for integers up to `most` as a constant.
template <class F>
void WithDepth(unsigned most, const F& f) {
  switch (int16_depth(most)) {
    case kWide:
      return f(std::integral_constant<int, kWide>());
    case 1:
      return f(std::integral_constant<int, 1>());
    case 2:
      return f(std::integral_constant<int, 2>());
    case 4:
      return f(std::integral_constant<int, 4>());
    default:
      return f(std::integral_constant<int, 8>());
  }
}

void AllDots(const CellDots& cell, const float* base, const float* sums, size_t sum_stride) {
  WithDepth(cell.most, [&](auto depth) { DotsAtDepth<depth()>(cell, base, sums, sum_stride); });
}
void AllSegmentDots(const CellDots& cell, size_t segment, const float* factors, size_t stride) {
  WithDepth(cell.most, [&](auto depth) { SegmentDotsAtDepth<depth()>(cell, segment, factors, stride); });
}

#endif

// A whole block of finite numbers or fewer; x and out have room for 256.
void QuantizeBlock(const float* HWY_RESTRICT x, int8_t* HWY_RESTRICT out, float* scale, int32_t* sums) {
  const hn::CappedTag<float, 8> d;
  const hn::RebindToSigned<decltype(d)> di;
  const size_t n = hn::Lanes(d);
  auto most = hn::Zero(d), spoilt = most;
  for (size_t i = 0; i < kCellColumns; i += n) {
    const auto v = hn::LoadU(d, x + i);
    most = hn::Max(most, hn::Abs(v));
    spoilt = hn::Add(spoilt, hn::Mul(v, hn::Zero(d)));  // NaN from NaN and Inf
  }
  const float largest = hn::GetLane(hn::MaxOfLanes(d, most)), nan = hn::GetLane(hn::SumOfLanes(d, spoilt));
  const bool some = nan == 0 && largest > 1e-35f;  // what is smaller counts as 0
  *scale = some ? largest / 127 : nan;
  const auto inverse = hn::Set(d, some ? 127 / largest : 0.0f);
  alignas(64) int32_t q[kCellColumns];
  for (size_t i = 0; i < kCellColumns; i += n) {
    const auto v = hn::LoadU(d, x + i);
    const auto scaled = some ? hn::Mul(v, inverse) : hn::Zero(d);
    hn::StoreU(hn::NearestInt(scaled), di, q + i);
  }
  for (size_t i = 0; i < kCellColumns; ++i) out[i] = static_cast<int8_t>(q[i]);
  for (size_t g = 0; g < kCellColumns / kGroupColumns; ++g) {
    int32_t sum = 0;
    for (size_t i = 0; i < kGroupColumns; ++i) sum += q[g * kGroupColumns + i];
    sums[g] = sum;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(AllDots);
HWY_EXPORT(AllSegmentDots);
HWY_EXPORT(QuantizeBlock);

// Moves what is far beyond the others from a block of `count` to the list.
void take_outliers(float* block, size_t count, size_t col, std::vector<Outlier>* outliers) {
  for (;;) {
    float squares[8] = {}, most[8] = {};
    for (size_t i = 0; i < kCellColumns; i += 8) {
      for (size_t j = 0; j < 8; ++j) {
        const float square = block[i + j] * block[i + j];
        squares[j] += square;
        most[j] = std::max(most[j], square);
      }
    }
    float sum = 0, largest = 0;
    for (size_t j = 0; j < 8; ++j) sum += squares[j], largest = std::max(largest, most[j]);
    const float limit = kOutlier * kOutlier / static_cast<float>(count) * sum;
    if (!(largest >= limit && limit > 0 && std::isfinite(limit))) return;
    for (size_t i = 0; i < count; ++i) {
      if (block[i] * block[i] < limit) continue;
      outliers->push_back({static_cast<uint32_t>(col + i), block[i]});
      block[i] = 0;
    }
  }
}

void quantize_activations(const float* x, const float* factors, size_t n, int8_t* q, float* scales, int32_t* sums,
                          std::vector<Outlier>* outliers) {
  alignas(64) float block[kCellColumns];
  for (size_t i = 0; i * kCellColumns < n; ++i) {
    const size_t c = i * kCellColumns, count = std::min(kCellColumns, n - c);
    for (size_t j = 0; j < count; ++j) block[j] = factors == nullptr ? x[c + j] : x[c + j] * factors[c + j];
    std::fill(block + count, block + kCellColumns, 0.0f);
    take_outliers(block, count, c, outliers);
    HWY_DYNAMIC_DISPATCH(QuantizeBlock)(block, q + c, scales + i, sums + i * (kCellColumns / kGroupColumns));
  }
}

void cell_dots(const CellDots& cell, const float* base, const float* sums, size_t sum_stride) {
  HWY_DYNAMIC_DISPATCH(AllDots)(cell, base, sums, sum_stride);
}

void cell_dots_by_segment(const CellDots& cell, size_t segment_groups, const float* factors, size_t factor_stride) {
  HWY_DYNAMIC_DISPATCH(AllSegmentDots)(cell, segment_groups, factors, factor_stride);
}

}  // namespace occ
#endif
