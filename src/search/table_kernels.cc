#include "search/table_kernels.h"

#include <algorithm>

#include "base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "search/table_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void CentroidCosts(const float* q, size_t width, const float* c, size_t ld, bool product, float* out) {
  const hn::CappedTag<float, 16> d;
  for (size_t j = 0; j < ld; j += hn::Lanes(d)) {
    auto sum = hn::Zero(d);
    if (product) {
      for (size_t i = 0; i < width; ++i) sum = hn::NegMulAdd(hn::Set(d, q[i]), hn::LoadU(d, c + i * ld + j), sum);
    } else {
      for (size_t i = 0; i < width; ++i) {
        const auto delta = hn::Sub(hn::Set(d, q[i]), hn::LoadU(d, c + i * ld + j));
        sum = hn::MulAdd(delta, delta, sum);
      }
    }
    hn::StoreU(sum, d, out + j);
  }
}

// Adds the rows of a block whose sums are not above the limit.
HWY_INLINE void Keep(const uint16_t* sums, size_t rows, uint32_t first_row, BoundedRows* found) {
  for (size_t r = 0; r < rows; ++r) {
    if (sums[r] <= found->limit()) found->add(sums[r], first_row + static_cast<uint32_t>(r));
  }
}

#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE

void ScanNibbles(const uint8_t* codes, size_t subspaces, size_t rows, uint32_t first_row, const uint8_t* const* tables,
                 BoundedRows* const* found, size_t queries) {
  for (size_t r0 = 0; r0 < rows; r0 += kBlockRows, codes += subspaces * 16) {
    for (size_t q = 0; q < queries; ++q) {
      uint16_t sums[kBlockRows] = {};
      for (size_t i = 0; i < subspaces * 16; ++i) {
        const uint8_t* table = tables[q] + i / 16 * 16;
        sums[i % 16] = static_cast<uint16_t>(sums[i % 16] + table[codes[i] & 15]);
        sums[i % 16 + 16] = static_cast<uint16_t>(sums[i % 16 + 16] + table[codes[i] >> 4]);
      }
      Keep(sums, std::min(kBlockRows, rows - r0), first_row + static_cast<uint32_t>(r0), found[q]);
    }
  }
}

#else

using DBytes = hn::CappedTag<uint8_t, 64>;
using DWords = hn::Repartition<uint16_t, DBytes>;
using DEight = hn::Full128<uint16_t>;

// The sum of the 128-bit blocks of v.
template <class D>
HWY_INLINE hn::Vec<DEight> SumOfBlocks(D /*d*/, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(D()) == 8) {
    return v;
  } else {
    const hn::Half<D> half;
    return SumOfBlocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

// Bytes are summed two at a time as words: `both` sums the words, whose upper halves overflow into nothing that is
// needed, and `odd` sums the upper bytes; the lower bytes are both - 256 odd.
struct WordSums {
  hn::Vec<DWords> both, odd;
  HWY_INLINE void Clear() { both = odd = hn::Zero(DWords()); }
  HWY_INLINE void Add(hn::Vec<DBytes> bytes) {
    const auto words = hn::BitCast(DWords(), bytes);
    both = hn::Add(both, words);
    odd = hn::Add(odd, hn::ShiftRight<8>(words));
  }
};

template <size_t kQueries>
HWY_INLINE void ScanBlocks(const uint8_t* HWY_RESTRICT codes, size_t subspaces, size_t rows, uint32_t first_row,
                           const uint8_t* const* tables, BoundedRows* const* found) {
  const DBytes d;
  const DWords dw;
  const DEight de;
  const auto low_half = hn::Set(d, uint8_t{15});
  for (size_t r0 = 0; r0 < rows; r0 += kBlockRows, codes += subspaces * 16) {
    WordSums low[kQueries], high[kQueries];
    for (size_t q = 0; q < kQueries; ++q) low[q].Clear(), high[q].Clear();
    for (size_t i = 0; i < subspaces * 16; i += hn::Lanes(d)) {
      const auto packed = hn::LoadU(d, codes + i);
      const auto lower = hn::And(packed, low_half);
      const auto upper = hn::And(hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(dw, packed))), low_half);
      for (size_t q = 0; q < kQueries; ++q) {
        const auto table = hn::LoadU(d, tables[q] + i);
        low[q].Add(hn::TableLookupBytes(table, lower));
        high[q].Add(hn::TableLookupBytes(table, upper));
      }
    }
    for (size_t q = 0; q < kQueries; ++q) {
      const auto low_odd = SumOfBlocks(dw, low[q].odd), high_odd = SumOfBlocks(dw, high[q].odd);
      const auto low_even = hn::Sub(SumOfBlocks(dw, low[q].both), hn::ShiftLeft<8>(low_odd));
      const auto high_even = hn::Sub(SumOfBlocks(dw, high[q].both), hn::ShiftLeft<8>(high_odd));
      const auto limit = hn::Set(de, found[q]->limit());
      const auto least = hn::Min(hn::Min(low_even, low_odd), hn::Min(high_even, high_odd));
      if (hn::AllFalse(de, hn::Eq(hn::Min(least, limit), least))) continue;
      alignas(16) uint16_t sums[kBlockRows];
      hn::Store(hn::InterleaveLower(de, low_even, low_odd), de, sums);
      hn::Store(hn::InterleaveUpper(de, low_even, low_odd), de, sums + 8);
      hn::Store(hn::InterleaveLower(de, high_even, high_odd), de, sums + 16);
      hn::Store(hn::InterleaveUpper(de, high_even, high_odd), de, sums + 24);
      Keep(sums, std::min(kBlockRows, rows - r0), first_row + static_cast<uint32_t>(r0), found[q]);
    }
  }
}

void ScanNibbles(const uint8_t* codes, size_t subspaces, size_t rows, uint32_t first_row, const uint8_t* const* tables,
                 BoundedRows* const* found, size_t queries) {
  switch (queries) {
    case 1:
      return ScanBlocks<1>(codes, subspaces, rows, first_row, tables, found);
    case 2:
      return ScanBlocks<2>(codes, subspaces, rows, first_row, tables, found);
    case 3:
      return ScanBlocks<3>(codes, subspaces, rows, first_row, tables, found);
    default:
      return ScanBlocks<4>(codes, subspaces, rows, first_row, tables, found);
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(CentroidCosts);
HWY_EXPORT(ScanNibbles);

void BoundedRows::shrink() {
  if (rows_.size() > k_) {
    const auto kth = rows_.begin() + static_cast<ptrdiff_t>(k_ - 1);
    std::nth_element(rows_.begin(), kth, rows_.end());
    limit_ = static_cast<uint16_t>(std::min<uint32_t>(limit_, kth->first + slack_));
    rows_.erase(std::remove_if(kth + 1, rows_.end(), [&](const auto& e) { return e.first > limit_; }), rows_.end());
  }
  most_ = std::max(4 * k_ + 64, 2 * rows_.size());
}

void centroid_costs(const float* q, size_t width, const float* c, size_t ld, bool product, float* out) {
  OCC_CHECK(ld % kTablePad == 0);
  HWY_DYNAMIC_DISPATCH(CentroidCosts)(q, width, c, ld, product, out);
}

void scan_nibbles(const uint8_t* codes, size_t subspaces, size_t rows, uint32_t first_row, const uint8_t* const* tables,
                  BoundedRows* const* found, size_t queries) {
  OCC_CHECK(subspaces % kBlockPad == 0 && queries >= 1 && queries <= kQueriesTogether);
  HWY_DYNAMIC_DISPATCH(ScanNibbles)(codes, subspaces, rows, first_row, tables, found, queries);
}

}  // namespace occ
#endif
