#include "quantization/entanglement_tree.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantization/entanglement_tree.cc"
#include "hwy/foreach_target.h"
// foreach_target.h comes first.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using LaneTag = hn::CappedTag<float, 8>;

// Comparisons and selections only, so that values keep their bits (min and max may not tell -0 from +0).
void SplitPairs(const float* x, size_t pairs, float* low, float* high, uint8_t* bits) {
  const LaneTag d;
  const size_t lanes = hn::Lanes(d);
  size_t j = 0;
  for (; j + 8 <= pairs; j += 8) {
    unsigned byte = 0;
    for (size_t i = 0; i < 8; i += lanes) {
      hn::VFromD<LaneTag> even, odd;
      hn::LoadInterleaved2(d, x + 2 * (j + i), even, odd);
      const auto ordered = hn::Le(even, odd);
      hn::StoreU(hn::IfThenElse(ordered, even, odd), d, low + j + i);
      hn::StoreU(hn::IfThenElse(ordered, odd, even), d, high + j + i);
      uint8_t mask[8];
      hn::StoreMaskBits(d, ordered, mask);
      byte |= static_cast<unsigned>(mask[0]) << i;
    }
    bits[j / 8] = static_cast<uint8_t>(byte);
  }
  if (j == pairs) return;
  bits[j / 8] = 0;
  for (; j < pairs; ++j) {
    const float even = x[2 * j], odd = x[2 * j + 1];
    const bool ordered = even <= odd;
    low[j] = ordered ? even : odd;
    high[j] = ordered ? odd : even;
    bits[j / 8] = static_cast<uint8_t>(bits[j / 8] | ordered << j % 8);
  }
}

void MergePairs(const float* low, const float* high, const uint8_t* bits, size_t pairs, float* x) {
  const LaneTag d;
  const hn::RebindToUnsigned<LaneTag> du;
  const size_t lanes = hn::Lanes(d);
  const auto lane_bit = hn::Shl(hn::Set(du, 1), hn::Iota(du, 0));
  size_t j = 0;
  for (; j + 8 <= pairs; j += 8) {
    for (size_t i = 0; i < 8; i += lanes) {
      const auto byte = hn::Set(du, static_cast<uint32_t>(bits[j / 8]) >> i);
      const auto ordered = hn::RebindMask(d, hn::TestBit(byte, lane_bit));
      const auto a = hn::LoadU(d, low + j + i), b = hn::LoadU(d, high + j + i);
      hn::StoreInterleaved2(hn::IfThenElse(ordered, a, b), hn::IfThenElse(ordered, b, a), d, x + 2 * (j + i));
    }
  }
  for (; j < pairs; ++j) {
    const bool ordered = bits[j / 8] >> j % 8 & 1;
    x[2 * j] = ordered ? low[j] : high[j];
    x[2 * j + 1] = ordered ? high[j] : low[j];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(SplitPairs);
HWY_EXPORT(MergePairs);

namespace {

constexpr size_t kChunk = 1024;  // pairs whose bits are turned into symbols at a time

// Symbols of a byte's bits.
const std::array<std::array<Symbol, 8>, 256>& unpacked() {
  static const auto table = [] {
    std::array<std::array<Symbol, 8>, 256> t{};
    for (size_t byte = 0; byte < 256; ++byte) {
      for (size_t i = 0; i < 8; ++i) t[byte][i] = byte >> i & 1;
    }
    return t;
  }();
  return table;
}

}  // namespace

void split_pairs(const float* x, size_t pairs, float* low, float* high, uint8_t* bits) {
  HWY_DYNAMIC_DISPATCH(SplitPairs)(x, pairs, low, high, bits);
}

void merge_pairs(const float* low, const float* high, const uint8_t* bits, size_t pairs, float* x) {
  HWY_DYNAMIC_DISPATCH(MergePairs)(low, high, bits, pairs, x);
}

void split_row(float* x, size_t count, unsigned levels, Symbol* order, float* work) {
  const auto& symbols = unpacked();
  uint8_t bits[kChunk / 8];
  float *from = x, *to = work;
  for (unsigned level = 0; level < levels; ++level, std::swap(from, to)) {
    const size_t half = count >> level >> 1;
    for (size_t part = 0; part < count; part += 2 * half) {
      for (size_t j = 0; j < half; j += kChunk) {
        const size_t n = std::min(kChunk, half - j);
        split_pairs(from + part + 2 * j, n, to + part + j, to + part + half + j, bits);
        size_t i = 0;
        for (; i + 8 <= n; i += 8) std::memcpy(order + i, symbols[bits[i / 8]].data(), 8 * sizeof(Symbol));
        if (i < n) std::copy_n(symbols[bits[i / 8]].data(), n - i, order + i);
        order += n;
      }
    }
  }
  if (from != x) std::copy_n(from, count, x);
}

void merge_row(float* x, size_t count, unsigned levels, const Symbol* order, float* work) {
  uint8_t bits[kChunk / 8];
  float *from = x, *to = work;
  for (unsigned level = levels; level-- > 0; std::swap(from, to)) {
    const size_t half = count >> level >> 1;
    const Symbol* at = order + level * (count / 2);
    for (size_t part = 0; part < count; part += 2 * half) {
      for (size_t j = 0; j < half; j += kChunk) {
        const size_t n = std::min(kChunk, half - j);
        std::fill_n(bits, (n + 7) / 8, uint8_t{0});
        for (size_t i = 0; i < n; ++i) bits[i / 8] = static_cast<uint8_t>(bits[i / 8] | (at[i] & 1) << i % 8);
        at += n;
        merge_pairs(from + part + j, from + part + half + j, bits, n, to + part + 2 * j);
      }
    }
  }
  if (from != x) std::copy_n(from, count, x);
}

}  // namespace occ
#endif
