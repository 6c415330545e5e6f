#include "operators/segment_dots.h"

#include <type_traits>

#include "operators/activations.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "operators/segment_dots.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "operators/pairs-inl.h"
#include "operators/sums-inl.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE

void SegmentDots(const BlockDots& block, size_t segment, const float* factors, size_t factor_stride) {
  for (size_t b = 0; b < block.batch; ++b) {
    for (size_t r = 0; r < block.rows; ++r) {
      float total = 0;
      for (size_t first = 0; first < block.cols; first += segment) {
        int32_t dot = 0;
        for (size_t c = first; c < first + segment; ++c) {
          dot += block.k[r * kStripColumns + c] * block.x[b * block.x_stride + c];
        }
        total += static_cast<float>(dot) * factors[r * factor_stride + first / segment];
      }
      block.y[b * kPanelRows + r] += block.scales[b * block.scale_stride] * total;
    }
  }
}

#else

// sum += products of kVectors vectors of k and x, each of the lanes of d (bytes).
template <int kDepth, size_t kVectors, class D, class V32>
HWY_INLINE void AddDot(D d, const uint8_t* HWY_RESTRICT k, const int8_t* HWY_RESTRICT x, V32& sum) {
  const hn::RebindToSigned<D> di;
  const hn::Repartition<int16_t, D> d16;
  constexpr size_t kN = hn::MaxLanes(D());
#if OCC_INT8_PAIRS
  if constexpr (kDepth != kWide) {
    constexpr size_t kStep = kVectors < size_t{kDepth} ? kVectors : size_t{kDepth};
    for (size_t v = 0; v < kVectors; v += kStep) {
      auto pairs = MulPairs(hn::Load(d, k + v * kN), hn::LoadU(di, x + v * kN));
      for (size_t i = v + 1; i < v + kStep; ++i) {
        pairs = hn::Add(pairs, MulPairs(hn::Load(d, k + i * kN), hn::LoadU(di, x + i * kN)));
      }
      AddPairs(d16, pairs, sum);
    }
    return;
  }
#endif
  for (size_t v = 0; v < kVectors; ++v) AddWide(d, hn::Load(d, k + v * kN), hn::LoadU(di, x + v * kN), sum);
}

// Four rows and one input, a factor for every row and kSegment groups.
template <int kDepth, size_t kSegment>
void Dots(const BlockDots& block, const float* factors, size_t factor_stride) {
  const hn::CappedTag<uint8_t, 32> d;
  const hn::Repartition<int32_t, decltype(d)> d32;
  const hn::Repartition<float, decltype(d)> df;
  const hn::FixedTag<float, 4> df4;
  constexpr size_t kColumns = kSegment * kSegmentColumns, kVectors = kColumns / hn::MaxLanes(decltype(d)());
  for (size_t b = 0; b < block.batch; ++b) {
    const int8_t* HWY_RESTRICT x = block.x + b * block.x_stride;
    const auto scale = hn::Set(df4, block.scales[b * block.scale_stride]);
    float* HWY_RESTRICT y = block.y + b * kPanelRows;
    for (size_t r = 0; r < block.rows; r += 4) {
      const float* HWY_RESTRICT f = factors + r * factor_stride;
      // Rows beyond the last take its factors.
      const size_t f1 = r + 1 < block.rows ? factor_stride : 0, f2 = r + 2 < block.rows ? f1 + factor_stride : f1,
                   f3 = r + 3 < block.rows ? f2 + factor_stride : f2;
      auto s0 = hn::Zero(df), s1 = s0, s2 = s0, s3 = s0;
      for (size_t s = 0; s * kSegment < block.cols / kSegmentColumns; ++s) {
        const uint8_t* HWY_RESTRICT k = block.k + r * kStripColumns + s * kColumns;
        const int8_t* HWY_RESTRICT xs = x + s * kColumns;
        auto i0 = hn::Zero(d32), i1 = i0, i2 = i0, i3 = i0;
        AddDot<kDepth, kVectors>(d, k, xs, i0);
        AddDot<kDepth, kVectors>(d, k + kStripColumns, xs, i1);
        AddDot<kDepth, kVectors>(d, k + 2 * kStripColumns, xs, i2);
        AddDot<kDepth, kVectors>(d, k + 3 * kStripColumns, xs, i3);
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
void SegmentDotsAtDepth(const BlockDots& block, size_t segment, const float* factors, size_t stride) {
  segment == 1   ? Dots<kDepth, 1>(block, factors, stride)
  : segment == 2 ? Dots<kDepth, 2>(block, factors, stride)
  : segment == 4 ? Dots<kDepth, 4>(block, factors, stride)
                 : Dots<kDepth, 8>(block, factors, stride);
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

void SegmentDots(const BlockDots& block, size_t segment, const float* factors, size_t stride) {
  WithDepth(block.most,
            [&](auto depth) { SegmentDotsAtDepth<depth()>(block, segment / kSegmentColumns, factors, stride); });
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(SegmentDots);

void segment_dots(const BlockDots& block, size_t segment_columns, const float* factors, size_t factor_stride) {
  HWY_DYNAMIC_DISPATCH(SegmentDots)(block, segment_columns, factors, factor_stride);
}

}  // namespace occ
#endif
