#include "quantization/entanglement_tree.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantization/entanglement_tree.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must be included before highway.h.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using LaneTag = hn::CappedTag<float, 8>;
using Lanes = hn::VFromD<LaneTag>;

// Uses only comparisons and selections, so that values keep their bits. The min and max instructions may not
// distinguish -0 from +0.
void SplitPairs(const float* x, size_t pairs, float* low, float* high, Symbol* order) {
  const LaneTag d;
  const hn::RebindToSigned<LaneTag> di;
  const hn::Rebind<int16_t, LaneTag> d16;
  const hn::Rebind<Symbol, LaneTag> ds;
  const size_t lanes = hn::Lanes(d);
  size_t j = 0;
  for (; j + lanes <= pairs; j += lanes) {
    Lanes even, odd;
    hn::LoadInterleaved2(d, x + 2 * j, even, odd);
    const auto ordered = hn::Le(even, odd);
    hn::StoreU(hn::IfThenElse(ordered, even, odd), d, low + j);
    hn::StoreU(hn::IfThenElse(ordered, odd, even), d, high + j);
    const auto minus_one = hn::DemoteTo(d16, hn::BitCast(di, hn::VecFromMask(d, ordered)));
    hn::StoreU(hn::BitCast(ds, hn::Neg(minus_one)), ds, order + j);
  }
  for (; j < pairs; ++j) {
    const float even = x[2 * j], odd = x[2 * j + 1];
    order[j] = even <= odd;
    low[j] = order[j] ? even : odd;
    high[j] = order[j] ? odd : even;
  }
}

void MergePairs(const float* low, const float* high, const Symbol* order, size_t pairs, float* x) {
  const LaneTag d;
  const hn::RebindToUnsigned<LaneTag> du;
  const hn::Rebind<Symbol, LaneTag> ds;
  const size_t lanes = hn::Lanes(d);
  size_t j = 0;
  for (; j + lanes <= pairs; j += lanes) {
    const auto symbols = hn::PromoteTo(du, hn::LoadU(ds, order + j));
    const auto ordered = hn::RebindMask(d, hn::Ne(symbols, hn::Zero(du)));
    const Lanes a = hn::LoadU(d, low + j), b = hn::LoadU(d, high + j);
    hn::StoreInterleaved2(hn::IfThenElse(ordered, a, b), hn::IfThenElse(ordered, b, a), d, x + 2 * j);
  }
  for (; j < pairs; ++j) {
    x[2 * j] = order[j] ? low[j] : high[j];
    x[2 * j + 1] = order[j] ? high[j] : low[j];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(SplitPairs);
HWY_EXPORT(MergePairs);

void split_pairs(const float* x, size_t pairs, float* low, float* high, Symbol* order) {
  HWY_DYNAMIC_DISPATCH(SplitPairs)(x, pairs, low, high, order);
}

void merge_pairs(const float* low, const float* high, const Symbol* order, size_t pairs, float* x) {
  HWY_DYNAMIC_DISPATCH(MergePairs)(low, high, order, pairs, x);
}

void split_row(float* x, size_t count, unsigned levels, Symbol* order, float* work) {
  float *from = x, *to = work;
  for (unsigned level = 0; level < levels; ++level, std::swap(from, to)) {
    const size_t half = count >> level >> 1;
    for (size_t part = 0; part < count; part += 2 * half, order += half) {
      split_pairs(from + part, half, to + part, to + part + half, order);
    }
  }
  if (from != x) std::copy_n(from, count, x);
}

void merge_row(float* x, size_t count, unsigned levels, const Symbol* order, float* work) {
  float *from = x, *to = work;
  for (unsigned level = levels; level-- > 0; std::swap(from, to)) {
    const size_t half = count >> level >> 1;
    const Symbol* at = order + level * (count / 2);
    for (size_t part = 0; part < count; part += 2 * half, at += half) {
      merge_pairs(from + part, from + part + half, at, half, to + part);
    }
  }
  if (from != x) std::copy_n(from, count, x);
}

}  // namespace occ
#endif
