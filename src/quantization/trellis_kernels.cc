#include "quantization/trellis_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantization/trellis_kernels.cc"
#include "hwy/foreach_target.h"
//
#include "hwy/highway.h"

#ifndef OCC_QUANTIZATION_TRELLIS_KERNELS_ONCE
#define OCC_QUANTIZATION_TRELLIS_KERNELS_ONCE
namespace occ {

constexpr float kTrellisLargest = 65530;  // limit of |x|, so that j fits into 16 bits
constexpr size_t kTrellisRenormalize = 64;

// Traces the path back from the best last state. Decisions have one bit per state, kLanes of them in each byte.
template <uint32_t kLanes, size_t kSegments>
void trellis_trace_back(const TrellisCode& code, size_t n, const float* metrics, const TrellisSegment* segments) {
  const uint32_t half = code.states / 2, mask = half - 1;
  const uint32_t h0 = code.h0 >> 1, h1 = code.h1 >> 1;
  const size_t bytes = code.states / kLanes;
  uint32_t state[kSegments];
  for (size_t s = 0; s < kSegments; ++s) {
    const float* m = metrics + s * code.states;
    state[s] = static_cast<uint32_t>(std::min_element(m, m + code.states) - m);
  }
  for (size_t t = n; t-- > 0;) {
    for (size_t s = 0; s < kSegments; ++s) {
      const uint8_t* decisions = segments[s].decisions + t * bytes;
      uint32_t b = 0;
      if (bytes <= 8) {  // reads a single word, so that the load does not wait for the state
        uint64_t word = 0;
        std::memcpy(&word, decisions, 8);
        b = static_cast<uint32_t>(word >> (kLanes == 8 ? state[s] : state[s] + (state[s] & ~3u))) & 1u;
      } else {
        b = (decisions[state[s] / kLanes] >> (state[s] % kLanes)) & 1u;
      }
      const uint32_t u = state[s] >= half ? 1 : 0;
      const int32_t k0 = segments[s].branches.k0[t];
      const int32_t k = k0 + ((static_cast<int32_t>(u + 2 * b) - k0) & 3);
      segments[s].k[t] = static_cast<float>(k);
      state[s] = 2 * ((state[s] ^ ((0u - u) & h0) ^ ((0u - b) & h1)) & mask) + u;
    }
  }
}

// Scalar code, for targets without vectors of a fixed size and for four states.
inline void trellis_viterbi_plain(const TrellisCode& code, size_t n, const float* table, float lambda,
                                  const TrellisSegment& s) {
  float metrics[256], next[256];
  std::fill_n(metrics, code.states, 1e30f);
  metrics[0] = 0;
  for (size_t t = 0; t < n; ++t) {
    float cost[4];  // by k mod 4
    for (int32_t i = 0; i < 4; ++i) {
      const float error = s.branches.error[t] - static_cast<float>(i);
      cost[(s.branches.k0[t] + i) & 3] = error * error + lambda * table[s.branches.entry[t] + i];
    }
    uint8_t* decisions = s.decisions + t * (code.states / 4);
    std::fill_n(decisions, code.states / 4, uint8_t{0});
    for (uint32_t state = 0; state < code.states; ++state) {
      const uint32_t u = state >= code.states / 2 ? 1 : 0;
      const float zero = metrics[code.previous(state, 0)] + cost[u];
      const float one = metrics[code.previous(state, 1)] + cost[u + 2];
      next[state] = one < zero ? one : zero;
      if (one < zero) decisions[state / 4] = static_cast<uint8_t>(decisions[state / 4] | 1u << (state % 4));
    }
    const float base = t % kTrellisRenormalize == kTrellisRenormalize - 1 ? next[0] : 0;
    for (uint32_t state = 0; state < code.states; ++state) metrics[state] = next[state] - base;
  }
  trellis_trace_back<4, 1>(code, n, metrics, &s);
}

}  // namespace occ
#endif

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE
#define OCC_TRELLIS_PLAIN 1
#else
#define OCC_TRELLIS_PLAIN 0
#endif

void Branches(const float* HWY_RESTRICT x, size_t n, float shrink, const int32_t* HWY_RESTRICT offsets,
              const TrellisBranches& out) {
  const hn::CappedTag<float, 8> d;
  const hn::RebindToSigned<decltype(d)> di;
  const auto largest = hn::Set(d, kTrellisLargest);
  const auto factor = hn::Set(d, shrink);
  const auto one = hn::Set(d, 1.0f);
  const auto low = hn::Set(di, -kTrellisReach), high = hn::Set(di, kTrellisReach - 3);
  const size_t lanes = hn::Lanes(d);
  size_t t = 0;
  for (; t + lanes <= n; t += lanes) {
    const auto v = hn::Min(hn::Max(hn::LoadU(d, x + t), hn::Neg(largest)), largest);
    const auto k0 = hn::Sub(hn::Floor(hn::Mul(v, factor)), one);
    const auto i0 = hn::ConvertTo(di, k0);
    hn::StoreU(hn::Sub(v, k0), d, out.error + t);
    hn::StoreU(i0, di, out.k0 + t);
    hn::StoreU(hn::Add(hn::LoadU(di, offsets + t), hn::Min(hn::Max(i0, low), high)), di, out.entry + t);
  }
  for (; t < n; ++t) {
    const float v = std::clamp(x[t], -kTrellisLargest, kTrellisLargest);
    const float k0 = std::floor(v * shrink) - 1.0f;
    out.error[t] = v - k0;
    out.k0[t] = static_cast<int32_t>(k0);
    out.entry[t] = offsets[t] + std::clamp(out.k0[t], -kTrellisReach, kTrellisReach - 3);
  }
}

#if !OCC_TRELLIS_PLAIN

// Returns lanes[i ^ mask].
template <class D, class V>
HWY_INLINE V PermuteXor(D d, V v, const hn::Vec<hn::RebindToSigned<D>>& index) {
  return hn::TableLookupLanes(v, hn::IndicesFromVec(d, index));
}

// Computes the costs of k0 .. k0 + 3 of value t and stores them twice in a row. Returns a pointer to the first cost
// with k = 0 mod 4, so that the costs of k = 0 .. 3 mod 4 can be read from there.
template <class D4>
HWY_INLINE const float* BranchCosts(D4 d4, const TrellisBranches& branches, size_t t, const float* HWY_RESTRICT table,
                                    hn::Vec<D4> lambda, float* HWY_RESTRICT twice) {
  const auto error = hn::Sub(hn::Set(d4, branches.error[t]), hn::Iota(d4, 0));
  const auto cost = hn::Add(hn::Mul(error, error), hn::Mul(lambda, hn::LoadU(d4, table + branches.entry[t])));
  hn::Store(cost, d4, twice);
  hn::Store(cost, d4, twice + 4);
  return twice + (static_cast<uint32_t>(-branches.k0[t]) & 3);
}

// Lanes are states: E has the metrics of the even states, O those of the odd states, in order. The next states of the
// lower half come from even states (u = 0), those of the upper half from odd states.
template <uint32_t kStates>
void Viterbi(const TrellisCode& code, size_t n, const float* HWY_RESTRICT table, float lambda,
             const TrellisSegment& segment) {
  constexpr size_t kHalf = kStates / 2;
  const hn::CappedTag<float, (kHalf < 8 ? kHalf : 8)> d;
  using D = decltype(d);
  const hn::RebindToSigned<D> di;
  constexpr size_t kN = hn::MaxLanes(D());
  constexpr size_t kV = kHalf / kN;  // number of vectors for a half of the states
  constexpr size_t kBytes = kStates / kN;
  using V = hn::Vec<D>;
  const hn::FixedTag<float, 4> d4;
  const auto weight = hn::Set(d4, lambda);

  const uint32_t h0 = (code.h0 >> 1) & (kHalf - 1), h1 = code.h1 >> 1;
  const auto lane_index = [&](uint32_t mask) HWY_ATTR {
    return hn::Xor(hn::Iota(di, 0), hn::Set(di, static_cast<int32_t>(mask & (kN - 1))));
  };
  const auto even_one = lane_index(h1), odd_zero = lane_index(h0), odd_one = lane_index(h0 ^ h1);
  const size_t even_one_v = h1 / kN, odd_zero_v = h0 / kN, odd_one_v = (h0 ^ h1) / kN;

  alignas(64) float metrics[kStates];
  V even[kV], odd[kV];
  for (size_t v = 0; v < kV; ++v) even[v] = odd[v] = hn::Set(d, 1e30f);
  alignas(64) float first[kN];
  std::fill_n(first, kN, 1e30f);
  first[0] = 0;
  even[0] = hn::Load(d, first);
  for (size_t t = 0; t < n; ++t) {
    const bool renormalize = t % kTrellisRenormalize == kTrellisRenormalize - 1;
    alignas(16) float twice[8];
    const float* c = BranchCosts(d4, segment.branches, t, table, weight, twice);
    uint8_t* HWY_RESTRICT decisions = segment.decisions + t * kBytes;
    const V c0 = hn::Set(d, c[0]), c1 = hn::Set(d, c[1]), c2 = hn::Set(d, c[2]), c3 = hn::Set(d, c[3]);
    V lower[kV], upper[kV];
    for (size_t v = 0; v < kV; ++v) {
      const V zero = hn::Add(even[v], c0);
      const V one = hn::Add(PermuteXor(d, even[v ^ even_one_v], even_one), c2);
      hn::StoreMaskBits(d, hn::Lt(one, zero), decisions + v);
      lower[v] = hn::Min(zero, one);
    }
    for (size_t v = 0; v < kV; ++v) {
      const V zero = hn::Add(PermuteXor(d, odd[v ^ odd_zero_v], odd_zero), c1);
      const V one = hn::Add(PermuteXor(d, odd[v ^ odd_one_v], odd_one), c3);
      hn::StoreMaskBits(d, hn::Lt(one, zero), decisions + kV + v);
      upper[v] = hn::Min(zero, one);
    }
    if (HWY_UNLIKELY(renormalize)) {
      const V base = hn::Set(d, hn::GetLane(lower[0]));
      for (size_t v = 0; v < kV; ++v) {
        lower[v] = hn::Sub(lower[v], base);
        upper[v] = hn::Sub(upper[v], base);
      }
    }
    if (t + 1 == n) {
      for (size_t v = 0; v < kV; ++v) {
        hn::Store(lower[v], d, metrics + v * kN);
        hn::Store(upper[v], d, metrics + kHalf + v * kN);
      }
    }
    if constexpr (kV == 1) {
      even[0] = hn::ConcatEven(d, upper[0], lower[0]);
      odd[0] = hn::ConcatOdd(d, upper[0], lower[0]);
    } else {
      for (size_t v = 0; v < kV; v += 2) {
        even[v / 2] = hn::ConcatEven(d, lower[v + 1], lower[v]);
        odd[v / 2] = hn::ConcatOdd(d, lower[v + 1], lower[v]);
        even[kV / 2 + v / 2] = hn::ConcatEven(d, upper[v + 1], upper[v]);
        odd[kV / 2 + v / 2] = hn::ConcatOdd(d, upper[v + 1], upper[v]);
      }
    }
  }
  trellis_trace_back<kN, 1>(code, n, metrics, &segment);
}

// Does the same without tracing back, if a half of the states fits into one vector, which then stays in a register.
// kSegments is 1 or 2, metrics [kSegments * kStates].
template <uint32_t kStates, size_t kSegments>
void ViterbiShort(const TrellisCode& code, size_t n, const float* HWY_RESTRICT table, float lambda,
                  const TrellisSegment* HWY_RESTRICT segments, float* HWY_RESTRICT metrics) {
  constexpr size_t kHalf = kStates / 2;
  const hn::CappedTag<float, kHalf> d;
  using D = decltype(d);
  const hn::RebindToSigned<D> di;
  using V = hn::Vec<D>;
  static_assert(hn::MaxLanes(D()) == kHalf);
  const hn::FixedTag<float, 4> d4;
  const auto weight = hn::Set(d4, lambda);
  const uint32_t h0 = (code.h0 >> 1) & (kHalf - 1), h1 = code.h1 >> 1;
  const auto indices = [&](uint32_t mask) HWY_ATTR {
    return hn::IndicesFromVec(d, hn::Xor(hn::Iota(di, 0), hn::Set(di, static_cast<int32_t>(mask))));
  };
  const auto even_one = indices(h1), odd_zero = indices(h0), odd_one = indices(h0 ^ h1);
  const auto step = [&](const TrellisSegment& segment, size_t t, V& low, V& high) HWY_ATTR {
    const V even = hn::ConcatEven(d, high, low), odd = hn::ConcatOdd(d, high, low);
    alignas(16) float twice[8];
    const float* c = BranchCosts(d4, segment.branches, t, table, weight, twice);
    uint8_t* HWY_RESTRICT decisions = segment.decisions + 2 * t;
    const V low_zero = hn::Add(even, hn::Set(d, c[0]));
    const V low_one = hn::Add(hn::TableLookupLanes(even, even_one), hn::Set(d, c[2]));
    const V high_zero = hn::Add(hn::TableLookupLanes(odd, odd_zero), hn::Set(d, c[1]));
    const V high_one = hn::Add(hn::TableLookupLanes(odd, odd_one), hn::Set(d, c[3]));
    low = hn::Min(low_zero, low_one);
    high = hn::Min(high_zero, high_one);
    hn::StoreMaskBits(d, hn::Lt(low_one, low_zero), decisions);
    hn::StoreMaskBits(d, hn::Lt(high_one, high_zero), decisions + 1);
  };
  alignas(64) float first[kHalf];
  std::fill_n(first, kHalf, 1e30f);
  V low0 = hn::Load(d, first), high0 = low0, high1 = low0;
  first[0] = 0;
  low0 = hn::Load(d, first);
  V low1 = low0;
  for (size_t t = 0; t < n;) {
    const size_t end = std::min(n, t + kTrellisRenormalize);
    const bool whole = end - t == kTrellisRenormalize;
    for (; t < end; ++t) {
      step(segments[0], t, low0, high0);
      if constexpr (kSegments == 2) step(segments[1], t, low1, high1);
    }
    if (!whole) break;
    const V base0 = hn::Set(d, hn::GetLane(low0)), base1 = hn::Set(d, hn::GetLane(low1));
    low0 = hn::Sub(low0, base0), high0 = hn::Sub(high0, base0);
    low1 = hn::Sub(low1, base1), high1 = hn::Sub(high1, base1);
  }
  hn::Store(low0, d, metrics);
  hn::Store(high0, d, metrics + kHalf);
  if constexpr (kSegments == 2) {
    hn::Store(low1, d, metrics + kStates);
    hn::Store(high1, d, metrics + kStates + kHalf);
  }
}

// Two segments at the same time hide the latency of 8 states, and four hide that of tracing back. Codes with more
// states keep the processor busy with one segment.
void ViterbiWalks(const TrellisCode& code, size_t n, const float* table, float lambda, const TrellisSegment* segments,
                  size_t count) {
  if (n == 0) return;
  if (code.states == 8) {
    alignas(64) float metrics[4 * 8];
    for (size_t s = 0; s < count; s += 2) {
      if (s + 1 < count) {
        ViterbiShort<8, 2>(code, n, table, lambda, segments + s, metrics + 8 * s);
      } else {
        ViterbiShort<8, 1>(code, n, table, lambda, segments + s, metrics + 8 * s);
      }
    }
    if (count == 4) return trellis_trace_back<4, 4>(code, n, metrics, segments);
    for (size_t s = 0; s < count; ++s) trellis_trace_back<4, 1>(code, n, metrics + 8 * s, segments + s);
    return;
  }
  for (size_t s = 0; s < count; ++s) {
    switch (code.states) {
      case 16:
        Viterbi<16>(code, n, table, lambda, segments[s]);
        break;
      case 32:
        Viterbi<32>(code, n, table, lambda, segments[s]);
        break;
      case 64:
        Viterbi<64>(code, n, table, lambda, segments[s]);
        break;
      case 128:
        Viterbi<128>(code, n, table, lambda, segments[s]);
        break;
      case 256:
        Viterbi<256>(code, n, table, lambda, segments[s]);
        break;
      default:
        trellis_viterbi_plain(code, n, table, lambda, segments[s]);
    }
  }
}

#else

void ViterbiWalks(const TrellisCode& code, size_t n, const float* table, float lambda, const TrellisSegment* segments,
                  size_t count) {
  for (size_t s = 0; s < count && n != 0; ++s) trellis_viterbi_plain(code, n, table, lambda, segments[s]);
}

#endif

// Decodes one row. states [cols] are the states of the columns at this row. Calls emit(column, k of the next lanes).
template <class Emit>
void DecodeRow(const TrellisCode& code, const Symbol* HWY_RESTRICT row, size_t cols, uint16_t* HWY_RESTRICT states,
               const Emit& emit) {
  const hn::CappedTag<int32_t, 8> d32;
  const hn::Rebind<uint16_t, decltype(d32)> d;
  const hn::RebindToSigned<decltype(d)> ds;
  const auto one = hn::Set(d, uint16_t{1});
  const auto zero = hn::Zero(d);
  const auto h0 = hn::Set(d, static_cast<uint16_t>(code.h0 >> 1)), h1 = hn::Set(d, static_cast<uint16_t>(code.h1 >> 1));
  const auto bias = hn::Set(d, uint16_t{kTrellisBias});
  const size_t lanes = hn::Lanes(d);
  for (size_t c = 0; c + lanes <= cols; c += lanes) {
    const auto state = hn::LoadU(d, states + c);
    const auto symbol = hn::LoadU(d, row + c);
    const auto u = hn::And(state, one);
    const auto next = hn::Xor(hn::ShiftRight<1>(state),
                              hn::Xor(hn::And(hn::Sub(zero, u), h0), hn::And(hn::Sub(zero, hn::And(symbol, one)), h1)));
    hn::StoreU(next, d, states + c);
    const auto j = hn::PromoteTo(d32, hn::BitCast(ds, hn::Xor(symbol, bias)));
    emit(c, hn::Add(hn::Add(j, j), hn::PromoteTo(d32, hn::BitCast(ds, u))), d32);
  }
}

// Decodes the columns that do not fill a vector, one at a time.
template <class Emit>
void DecodeTail(const TrellisCode& code, const Symbol* row, size_t first, size_t cols, uint16_t* states,
                const Emit& emit) {
  for (size_t c = first; c < cols; ++c) {
    emit(c, 2 * (int32_t{row[c]} - static_cast<int32_t>(kTrellisBias)) + (states[c] & 1));
    states[c] = static_cast<uint16_t>(code.next(states[c], row[c] & 1u));
  }
}

size_t VectorColumns(size_t cols) {
  const hn::CappedTag<int32_t, 8> d;
  return cols / hn::Lanes(d) * hn::Lanes(d);
}

void Dequantize(const TrellisCode& code, MatrixView<const Symbol> symbols, const float* factors, uint16_t* states,
                MatrixView<float> out) {
  for (size_t r = 0; r < symbols.rows(); ++r) {
    float* HWY_RESTRICT to = out.row(r);
    DecodeRow(code, symbols.row(r), symbols.cols(), states, [&](size_t c, auto k, auto d32) HWY_ATTR {
      const hn::RebindToFloat<decltype(d32)> df;
      hn::StoreU(hn::Mul(hn::ConvertTo(df, k), hn::LoadU(df, factors + c)), df, to + c);
    });
    DecodeTail(code, symbols.row(r), VectorColumns(symbols.cols()), symbols.cols(), states,
               [&](size_t c, int32_t k) { to[c] = static_cast<float>(k) * factors[c]; });
  }
}

void Integers(const TrellisCode& code, MatrixView<const Symbol> symbols, uint16_t* states, MatrixView<int32_t> out) {
  for (size_t r = 0; r < symbols.rows(); ++r) {
    int32_t* HWY_RESTRICT to = out.row(r);
    DecodeRow(code, symbols.row(r), symbols.cols(), states,
              [&](size_t c, auto k, auto d32) HWY_ATTR { hn::StoreU(k, d32, to + c); });
    DecodeTail(code, symbols.row(r), VectorColumns(symbols.cols()), symbols.cols(), states,
               [&](size_t c, int32_t k) { to[c] = k; });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(Branches);
HWY_EXPORT(ViterbiWalks);
HWY_EXPORT(Dequantize);
HWY_EXPORT(Integers);

void trellis_branches(const float* x, size_t n, float shrink, const int32_t* offsets, const TrellisBranches& out) {
  HWY_DYNAMIC_DISPATCH(Branches)(x, n, shrink, offsets, out);
}

size_t trellis_decision_bytes(uint32_t states, size_t n) { return n * (states / 4) + 16; }

void trellis_viterbi(const TrellisCode& code, size_t n, const float* table, float lambda,
                     const TrellisSegment* segments, size_t count) {
  OCC_CHECK(count >= 1 && count <= kTrellisAtOnce);
  HWY_DYNAMIC_DISPATCH(ViterbiWalks)(code, n, table, lambda, segments, count);
}

void trellis_dequantize(const TrellisCode& code, MatrixView<const Symbol> symbols, const float* factors,
                        MatrixView<float> out) {
  std::vector<uint16_t> states(symbols.cols());
  HWY_DYNAMIC_DISPATCH(Dequantize)(code, symbols, factors, states.data(), out);
}

void trellis_integers(const TrellisCode& code, MatrixView<const Symbol> symbols, MatrixView<int32_t> out) {
  std::vector<uint16_t> states(symbols.cols());
  HWY_DYNAMIC_DISPATCH(Integers)(code, symbols, states.data(), out);
}

}  // namespace occ
#endif
