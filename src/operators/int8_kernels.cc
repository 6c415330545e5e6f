#include "operators/int8_kernels.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

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
#define OCC_INT8_PLAIN 1
#else
#define OCC_INT8_PLAIN 0
#endif

// The code of column i of packed group g.
HWY_INLINE unsigned CodeAt(const uint8_t* row, unsigned bits, size_t g, size_t i) {
  unsigned code = 0, position = 0;
  for (const unsigned w : {8u, 4u, 2u, 1u}) {
    if ((bits & w) == 0) continue;
    const size_t per_byte = 8 / w;
    const unsigned byte = row[g / per_byte * kGroupColumns + i];
    code |= (byte >> (g % per_byte * w) & ((1u << w) - 1)) << position;
    position += w;
    row += w * kGroupColumns;
  }
  return code;
}

void UnpackPlain(const PackedCell& cell, uint8_t* states, uint8_t* out) {
  const size_t together = rows_together(cell.groups), rows = (cell.rows + together - 1) / together * together;
  for (size_t r = 0; r < rows; ++r) {
    const uint8_t* data = cell.data + r / together * packed_bytes_of(cell.bits);
    for (size_t c = 0; c < cell.groups * kGroupColumns; ++c) {
      const unsigned code = CodeAt(data, cell.bits, r % together * cell.groups + c / kGroupColumns, c % kGroupColumns);
      out[r * kCellColumns + c] = static_cast<uint8_t>(cell.next == nullptr ? code : 2 * code + (states[c] & 1));
      if (cell.next != nullptr) states[c] = cell.next[states[c] | (code & 1) << 1];
    }
  }
}

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

#if !OCC_INT8_PLAIN

// ---- Unpacking

using DU8 = hn::CappedTag<uint8_t, 32>;
using VU8 = hn::Vec<DU8>;

// The low `width` bits of (each byte >> from), moved up to bit `to`.
template <int kWidth, int kFrom, int kTo>
HWY_INLINE VU8 Field(VU8 v) {
  const DU8 d;
  const hn::Repartition<uint16_t, DU8> d16;
  if constexpr (kFrom > kTo) {
    v = hn::BitCast(d, hn::ShiftRight<kFrom - kTo>(hn::BitCast(d16, v)));
  } else if constexpr (kFrom < kTo) {
    v = hn::BitCast(d, hn::ShiftLeft<kTo - kFrom>(hn::BitCast(d16, v)));
  }
  if constexpr (kWidth == 8) return v;
  return hn::And(v, hn::Set(d, static_cast<uint8_t>(((1 << kWidth) - 1) << kTo)));
}

// The codes of packed group g, moved up by kUp bits. row: at the vector's place in the first 32 bytes.
template <int kBits, int kUp, size_t g>
HWY_INLINE VU8 Codes(const uint8_t* HWY_RESTRICT row) {
  const DU8 d;
  constexpr size_t k8 = kBits & 8, k4 = kBits & 4, k2 = kBits & 2;
  VU8 v = hn::Zero(d);
  if constexpr ((kBits & 8) != 0) v = Field<8, 0, kUp>(hn::Load(d, row + g * 32));
  if constexpr ((kBits & 4) != 0) {
    v = hn::Or(v, Field<4, g % 2 * 4, (kBits & 8) + kUp>(hn::Load(d, row + (k8 + g / 2) * 32)));
  }
  if constexpr ((kBits & 2) != 0) {
    v = hn::Or(v, Field<2, g % 4 * 2, (kBits & 12) + kUp>(hn::Load(d, row + (k8 + k4 + g / 4) * 32)));
  }
  if constexpr ((kBits & 1) != 0) {
    v = hn::Or(v, Field<1, g, (kBits & 14) + kUp>(hn::Load(d, row + (k8 + k4 + k2) * 32)));
  }
  return v;
}

// Group g of what is packed together belongs to row g / kGroups.
template <int kBits, int kGroups, size_t g>
HWY_INLINE void UnpackGroup(const uint8_t* HWY_RESTRICT row, uint8_t* HWY_RESTRICT out) {
  hn::Store(Codes<kBits, 0, g>(row), DU8(), out + g / kGroups * kCellColumns + g % kGroups * 32);
}
template <int kBits, int kGroups, size_t g>
HWY_INLINE void UnpackCarriedGroup(const uint8_t* HWY_RESTRICT row, VU8 table, VU8& state, uint8_t* HWY_RESTRICT out) {
  const DU8 d;
  const VU8 doubled = Codes<kBits, 1, g>(row);
  hn::Store(hn::Or(doubled, hn::And(state, hn::Set(d, uint8_t{1}))), d,
            out + g / kGroups * kCellColumns + g % kGroups * 32);
  state = hn::TableLookupBytes(table, hn::Or(state, hn::And(doubled, hn::Set(d, uint8_t{2}))));
}

template <int kBits, int kGroups>
void Unpack(const PackedCell& cell, uint8_t* states, uint8_t* HWY_RESTRICT out) {
  constexpr size_t kBytes = packed_bytes_of(kBits), kRows = rows_together(kGroups);
  const DU8 d;
  constexpr size_t kN = hn::MaxLanes(DU8());
  for (size_t at = 0; at < kGroupColumns; at += kN) {
    const uint8_t* HWY_RESTRICT row = cell.data + at;
    uint8_t* HWY_RESTRICT to = out + at;
    if (cell.next == nullptr) {
      for (size_t r = 0; r < cell.rows; r += kRows, row += kBytes, to += kRows * kCellColumns) {
        UnpackGroup<kBits, kGroups, 0>(row, to);
        UnpackGroup<kBits, kGroups, 1>(row, to);
        UnpackGroup<kBits, kGroups, 2>(row, to);
        UnpackGroup<kBits, kGroups, 3>(row, to);
        UnpackGroup<kBits, kGroups, 4>(row, to);
        UnpackGroup<kBits, kGroups, 5>(row, to);
        UnpackGroup<kBits, kGroups, 6>(row, to);
        UnpackGroup<kBits, kGroups, 7>(row, to);
      }
      continue;
    }
    if constexpr (kBits < 8) {
      const VU8 table = hn::LoadDup128(d, cell.next);
      VU8 s0 = hn::Load(d, states + at), s1 = hn::Load(d, states + 32 + at), s2 = s0, s3 = s0, s4 = s0, s5 = s0,
          s6 = s0, s7 = s0;
      if constexpr (kGroups >= 4) s2 = hn::Load(d, states + 64 + at), s3 = hn::Load(d, states + 96 + at);
      if constexpr (kGroups >= 8) {
        s4 = hn::Load(d, states + 128 + at), s5 = hn::Load(d, states + 160 + at);
        s6 = hn::Load(d, states + 192 + at), s7 = hn::Load(d, states + 224 + at);
      }
      // The states of packed group i.
      VU8 &t2 = kGroups == 2 ? s0 : s2, &t3 = kGroups == 2 ? s1 : s3;
      VU8 &t4 = kGroups < 8 ? s0 : s4, &t5 = kGroups < 8 ? s1 : s5;
      VU8 &t6 = kGroups < 8 ? t2 : s6, &t7 = kGroups < 8 ? t3 : s7;
      for (size_t r = 0; r < cell.rows; r += kRows, row += kBytes, to += kRows * kCellColumns) {
        UnpackCarriedGroup<kBits, kGroups, 0>(row, table, s0, to);
        UnpackCarriedGroup<kBits, kGroups, 1>(row, table, s1, to);
        UnpackCarriedGroup<kBits, kGroups, 2>(row, table, t2, to);
        UnpackCarriedGroup<kBits, kGroups, 3>(row, table, t3, to);
        UnpackCarriedGroup<kBits, kGroups, 4>(row, table, t4, to);
        UnpackCarriedGroup<kBits, kGroups, 5>(row, table, t5, to);
        UnpackCarriedGroup<kBits, kGroups, 6>(row, table, t6, to);
        UnpackCarriedGroup<kBits, kGroups, 7>(row, table, t7, to);
      }
      hn::Store(s0, d, states + at), hn::Store(s1, d, states + 32 + at);
      if constexpr (kGroups >= 4) hn::Store(s2, d, states + 64 + at), hn::Store(s3, d, states + 96 + at);
      if constexpr (kGroups >= 8) {
        hn::Store(s4, d, states + 128 + at), hn::Store(s5, d, states + 160 + at);
        hn::Store(s6, d, states + 192 + at), hn::Store(s7, d, states + 224 + at);
      }
    }
  }
}

template <int kBits>
void UnpackBits(const PackedCell& cell, uint8_t* states, uint8_t* out) {
  cell.groups == 8   ? Unpack<kBits, 8>(cell, states, out)
  : cell.groups == 4 ? Unpack<kBits, 4>(cell, states, out)
                     : Unpack<kBits, 2>(cell, states, out);
}

void UnpackCell(const PackedCell& cell, uint8_t* states, uint8_t* out) {
  switch (cell.bits) {
    case 0:
      return UnpackBits<0>(cell, states, out);
    case 1:
      return UnpackBits<1>(cell, states, out);
    case 2:
      return UnpackBits<2>(cell, states, out);
    case 3:
      return UnpackBits<3>(cell, states, out);
    case 4:
      return UnpackBits<4>(cell, states, out);
    case 5:
      return UnpackBits<5>(cell, states, out);
    case 6:
      return UnpackBits<6>(cell, states, out);
    case 7:
      return UnpackBits<7>(cell, states, out);
    default:
      return UnpackBits<8>(cell, states, out);
  }
}

// ---- Dot products

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
  constexpr size_t kColumns = kSegment * kGroupColumns, kVectors = kColumns / hn::MaxLanes(DU8());
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

void AllDots(const CellDots& cell, const float* base, const float* sums, size_t sum_stride) {
  switch (int16_depth(cell.most)) {
    case kWide:
      return DotsAtDepth<kWide>(cell, base, sums, sum_stride);
    case 1:
      return DotsAtDepth<1>(cell, base, sums, sum_stride);
    case 2:
      return DotsAtDepth<2>(cell, base, sums, sum_stride);
    case 4:
      return DotsAtDepth<4>(cell, base, sums, sum_stride);
    default:
      return DotsAtDepth<8>(cell, base, sums, sum_stride);
  }
}

void AllSegmentDots(const CellDots& cell, size_t segment, const float* factors, size_t stride) {
  switch (int16_depth(cell.most)) {
    case kWide:
      return SegmentDotsAtDepth<kWide>(cell, segment, factors, stride);
    case 1:
      return SegmentDotsAtDepth<1>(cell, segment, factors, stride);
    case 2:
      return SegmentDotsAtDepth<2>(cell, segment, factors, stride);
    case 4:
      return SegmentDotsAtDepth<4>(cell, segment, factors, stride);
    default:
      return SegmentDotsAtDepth<8>(cell, segment, factors, stride);
  }
}

#else

void UnpackCell(const PackedCell& cell, uint8_t* states, uint8_t* out) { UnpackPlain(cell, states, out); }
void AllDots(const CellDots& cell, const float* base, const float* sums, size_t sum_stride) {
  DotsPlain(cell, cell.groups, nullptr, 0, base, sums, sum_stride);
}
void AllSegmentDots(const CellDots& cell, size_t segment, const float* factors, size_t stride) {
  DotsPlain(cell, segment, factors, stride, nullptr, nullptr, 0);
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

HWY_EXPORT(UnpackCell);
HWY_EXPORT(AllDots);
HWY_EXPORT(AllSegmentDots);
HWY_EXPORT(QuantizeBlock);

void unpack_cell(const PackedCell& cell, uint8_t* states, uint8_t* out) {
  OCC_CHECK(cell.rows <= kCellRows && (cell.groups == 2 || cell.groups == 4 || cell.groups == 8));
  OCC_CHECK(cell.bits <= (cell.next == nullptr ? kMostBits : kMostBits - 1));
  HWY_DYNAMIC_DISPATCH(UnpackCell)(cell, states, out);
}

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
