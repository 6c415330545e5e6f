// Kernels of strips for all SIMD targets, with vectors of up to 64 bytes: a line is cut into as many vectors as it needs
// and the strip walked once for each. AVX-512 with byte dot products has kernels of its own (strip_vnni.cc).
#include "operators/strip.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "hwy/cache_control.h"
#include "operators/strip_vnni.h"
#include "quantization/trellis_code.h"
#include "simd/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "operators/strip.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "operators/pairs-inl.h"
#include "operators/sums-inl.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE

// Plain loops: for other processors, and to read.

void WalkStates(const Strip& strip, size_t steps, uint8_t* states, uint8_t* u) {
  const TrellisCode& code = kTrellisCodes[strip.state_planes - 2];
  for (size_t t = 0; t < steps; ++t) {
    const uint8_t* step = strip.codes() + t * strip.bits * kLineBytes;
    for (size_t i = 0; i < kLineBytes; ++i) {
      const uint8_t first = states[i], b = strip.bits == 0 ? 0 : step[(strip.bits - 1) * kLineBytes + i];
      if (u != nullptr) u[t * kLineBytes + i] = first;
      for (size_t p = 0; p < strip.state_planes; ++p) {
        uint8_t next = p + 1 < strip.state_planes ? states[(p + 1) * kLineBytes + i] : 0;
        if ((code.h0 >> (p + 1) & 1) != 0) next ^= first;
        if ((code.h1 >> (p + 1) & 1) != 0) next ^= b;
        states[p * kLineBytes + i] = next;
      }
    }
  }
}

void UnpackStep(const Strip& strip, size_t step, const uint8_t* u, uint8_t* out) {
  const bool with_states = strip.state_planes != 0;
  const unsigned high = with_states && strip.bits != 0 ? strip.bits - 1 : strip.bits;
  for (size_t lane = 0; lane < kStripColumns; ++lane) {
    const size_t g = lane / kLineBytes, i = lane % kLineBytes;
    const uint8_t* line = strip.codes() + step * strip.bits * kLineBytes + i;
    unsigned code = 0;
    for (const unsigned w : {8u, 4u, 2u, 1u}) {
      if ((high & w) == 0) continue;
      const size_t per_byte = 8 / w;
      code = code << w | (line[g / per_byte * kLineBytes] >> (g % per_byte * w) & ((1u << w) - 1));
      line += w * kLineBytes;
    }
    if (with_states) code = code << 2 | (strip.bits == 0 ? 0 : (*line >> g & 1) << 1) | (u[i] >> g & 1);
    out[lane] = static_cast<uint8_t>(code);
  }
}

void StripDots(const Strip& strip, const StripInput* inputs, size_t count) {
  uint8_t states[kMostStatePlanes * kLineBytes], u[kPanelRows * kLineBytes], k[kStripColumns];
  std::memcpy(states, strip.data, strip.state_planes * kLineBytes);
  if (strip.state_planes != 0) WalkStates(strip, strip.steps(), states, u);
  const size_t width = strip.width(), block = std::min(width, kBlockColumns);
  for (size_t t = 0; t < strip.steps(); ++t) {
    UnpackStep(strip, t, u + t * kLineBytes, k);
    for (size_t n = 0; n < count; ++n) {
      for (size_t lane = 0; lane < kStripColumns; lane += block) {
        int32_t dot = 0;
        for (size_t c = 0; c < block; ++c) dot += k[lane + c] * inputs[n].x[lane % width + c];
        inputs[n].sums[(t + lane / width * strip.steps()) * kSumLanes] +=
            inputs[n].scales[lane % width / block] * static_cast<float>(dot);
      }
    }
  }
}

void SumLanes(const float* sums, float* out) {
  for (size_t r = 0; r < kPanelRows; ++r) {
    out[r] = 0;
    for (size_t i = 0; i < kSumLanes; ++i) out[r] += sums[r * kSumLanes + i];
  }
}

#else

using DB = hn::CappedTag<uint8_t, kLineBytes>;
using VB = hn::Vec<DB>;
constexpr size_t kN = hn::MaxLanes(DB());

// One vector of every line.
template <size_t kPlanes>
void Walk(const uint8_t* HWY_RESTRICT b, size_t stride, size_t steps, uint8_t* HWY_RESTRICT states,
          uint8_t* HWY_RESTRICT u) {
  const DB d;
  constexpr TrellisCode code = kTrellisCodes[kPlanes - 2];
  VB s[kPlanes];
  for (size_t p = 0; p < kPlanes; ++p) s[p] = hn::Load(d, states + p * kLineBytes);
  for (size_t t = 0; t < steps; ++t, b += stride) {
    const VB bits = hn::Load(d, b), first = s[0];
    if (u != nullptr) hn::Store(first, d, u + t * kLineBytes);
    for (size_t p = 0; p < kPlanes; ++p) {
      VB next = p + 1 < kPlanes ? s[p + 1] : hn::Zero(d);
      if ((code.h0 >> (p + 1) & 1) != 0) next = hn::Xor(next, first);
      if ((code.h1 >> (p + 1) & 1) != 0) next = hn::Xor(next, bits);
      s[p] = next;
    }
  }
  for (size_t p = 0; p < kPlanes; ++p) hn::Store(s[p], d, states + p * kLineBytes);
}

void WalkStates(const Strip& strip, size_t steps, uint8_t* states, uint8_t* u) {
  constexpr decltype(&Walk<2>) kWalks[] = {Walk<2>, Walk<3>, Walk<4>, Walk<5>, Walk<6>, Walk<7>, Walk<8>};
  HWY_ALIGN static const uint8_t none[kLineBytes] = {};
  const uint8_t* b = strip.bits == 0 ? none : strip.codes() + (strip.bits - 1) * kLineBytes;
  for (size_t at = 0; at < kLineBytes; at += kN) {
    kWalks[strip.state_planes - 2](b + at, strip.bits * kLineBytes, steps, states + at, u == nullptr ? u : u + at);
  }
}

// The low `width` bits of (each byte >> from), moved up to bit `to`.
template <int kWidth, int kFrom, int kTo>
HWY_INLINE VB Field(VB v) {
  const DB d;
  const hn::Repartition<uint16_t, DB> d16;
  if constexpr (kFrom > kTo) {
    v = hn::BitCast(d, hn::ShiftRight<kFrom - kTo>(hn::BitCast(d16, v)));
  } else if constexpr (kFrom < kTo) {
    v = hn::BitCast(d, hn::ShiftLeft<kTo - kFrom>(hn::BitCast(d16, v)));
  }
  if constexpr (kWidth == 8) return v;
  return hn::And(v, hn::Set(d, static_cast<uint8_t>(((1 << kWidth) - 1) << kTo)));
}

// What a step has of the lowest two bits of k': u in bits 0, 2, 4, 6 and b above it, of even and odd groups.
struct LowBits {
  VB even, odd;
};
HWY_INLINE LowBits LowBitsOf(VB b, VB u) {
  const DB d;
  const VB high = hn::Set(d, uint8_t{0xAA}), low = hn::Set(d, uint8_t{0x55});
  const hn::Repartition<uint16_t, DB> d16;
  const VB u_down = hn::BitCast(d, hn::ShiftRight<1>(hn::BitCast(d16, u)));
  return {hn::Or(hn::And(hn::Add(b, b), high), hn::And(u, low)), hn::Or(hn::And(b, high), hn::And(u_down, low))};
}

// k' of group g. step: at the vector's place in the first line.
template <int kBits, bool kStates, size_t g>
HWY_INLINE VB Code(const uint8_t* HWY_RESTRICT step, const LowBits& low) {
  const DB d;
  constexpr int kHigh = kStates && kBits > 0 ? kBits - 1 : kBits, kUp = kStates ? 2 : 0;
  constexpr size_t k8 = kHigh & 8, k4 = kHigh & 4, k2 = kHigh & 2;
  VB v = hn::Zero(d);
  if constexpr (kStates) v = Field<2, g / 2 * 2, 0>(g % 2 == 0 ? low.even : low.odd);
  if constexpr (k8 != 0) v = hn::Or(v, hn::Load(d, step + g * kLineBytes));
  if constexpr (k4 != 0) {
    v = hn::Or(v, Field<4, g % 2 * 4, (kHigh & 3) + kUp>(hn::Load(d, step + (k8 + g / 2) * kLineBytes)));
  }
  if constexpr (k2 != 0) {
    v = hn::Or(v, Field<2, g % 4 * 2, (kHigh & 1) + kUp>(hn::Load(d, step + (k8 + k4 + g / 4) * kLineBytes)));
  }
  if constexpr ((kHigh & 1) != 0) v = hn::Or(v, Field<1, g, kUp>(hn::Load(d, step + (k8 + k4 + k2) * kLineBytes)));
  return v;
}

template <int kBits, bool kStates>
HWY_INLINE LowBits LoadLowBits(const uint8_t* HWY_RESTRICT step, const uint8_t* HWY_RESTRICT u) {
  const DB d;
  if constexpr (!kStates) return {hn::Zero(d), hn::Zero(d)};
  const VB b = kBits == 0 ? hn::Zero(d) : hn::Load(d, step + (kBits == 0 ? 0 : kBits - 1) * kLineBytes);
  return LowBitsOf(b, hn::Load(d, u));
}

template <int kBits, bool kStates>
void Unpack(const uint8_t* HWY_RESTRICT step, const uint8_t* HWY_RESTRICT u, uint8_t* HWY_RESTRICT out) {
  const DB d;
  for (size_t at = 0; at < kLineBytes; at += kN, step += kN, out += kN) {
    const LowBits low = LoadLowBits<kBits, kStates>(step, u + at);
    hn::Store(Code<kBits, kStates, 0>(step, low), d, out);
    hn::Store(Code<kBits, kStates, 1>(step, low), d, out + kLineBytes);
    hn::Store(Code<kBits, kStates, 2>(step, low), d, out + 2 * kLineBytes);
    hn::Store(Code<kBits, kStates, 3>(step, low), d, out + 3 * kLineBytes);
    hn::Store(Code<kBits, kStates, 4>(step, low), d, out + 4 * kLineBytes);
    hn::Store(Code<kBits, kStates, 5>(step, low), d, out + 5 * kLineBytes);
    hn::Store(Code<kBits, kStates, 6>(step, low), d, out + 6 * kLineBytes);
    hn::Store(Code<kBits, kStates, 7>(step, low), d, out + 7 * kLineBytes);
  }
}

using UnpackFunction = void (*)(const uint8_t*, const uint8_t*, uint8_t*);
constexpr UnpackFunction kUnpack[2][kMostBits + 1] = {
    {Unpack<0, false>, Unpack<1, false>, Unpack<2, false>, Unpack<3, false>, Unpack<4, false>, Unpack<5, false>,
     Unpack<6, false>, Unpack<7, false>, Unpack<8, false>},
    {Unpack<0, true>, Unpack<1, true>, Unpack<2, true>, Unpack<3, true>, Unpack<4, true>, Unpack<5, true>,
     Unpack<6, true>, Unpack<7, true>, nullptr}};

void UnpackStep(const Strip& strip, size_t step, const uint8_t* u, uint8_t* out) {
  kUnpack[strip.state_planes != 0][strip.bits](strip.codes() + step * strip.bits * kLineBytes, u, out);
}

using DI8 = hn::RebindToSigned<DB>;
using D16 = hn::Repartition<int16_t, DB>;
using D32 = hn::Repartition<int32_t, DB>;
using DF = hn::Repartition<float, DB>;
using V16 = hn::Vec<D16>;
using V32 = hn::Vec<D32>;

// The products of four groups of codes with x, at the vector's place in the first of them.
template <int kDepth>
HWY_INLINE V32 DotOfFour(VB k0, VB k1, VB k2, VB k3, const int8_t* HWY_RESTRICT x) {
  const DI8 d;
  V32 sum = hn::Zero(D32());
  const auto x0 = hn::Load(d, x), x1 = hn::Load(d, x + kLineBytes), x2 = hn::Load(d, x + 2 * kLineBytes),
             x3 = hn::Load(d, x + 3 * kLineBytes);
#if OCC_INT8_PAIRS
  if constexpr (kDepth != kWide) {
    V16 p0 = MulPairs(k0, x0), p1 = MulPairs(k1, x1), p2 = MulPairs(k2, x2), p3 = MulPairs(k3, x3);
    if constexpr (kDepth >= 2) p0 = hn::Add(p0, p1), p2 = hn::Add(p2, p3);
    if constexpr (kDepth >= 4) p0 = hn::Add(p0, p2);
    AddPairs(D16(), p0, sum);
    if constexpr (kDepth < 4) AddPairs(D16(), p2, sum);
    if constexpr (kDepth < 2) AddPairs(D16(), p1, sum), AddPairs(D16(), p3, sum);
    return sum;
  }
#endif
  AddWide(DB(), k0, x0, sum), AddWide(DB(), k1, x1, sum), AddWide(DB(), k2, x2, sum), AddWide(DB(), k3, x3, sum);
  return sum;
}

HWY_INLINE void AddScaled(V32 dot, float scale, float* HWY_RESTRICT sums) {
  const DF d;
  hn::Store(hn::MulAdd(hn::ConvertTo(d, dot), hn::Set(d, scale), hn::Load(d, sums)), d, sums);
}

// Strips of 1 or 2 chains, whose halves of a step are the two blocks or the two chains.
template <int kBits, bool kStates>
void Dots(const Strip& strip, const uint8_t* u, const StripInput* HWY_RESTRICT inputs, size_t count) {
  constexpr int kDepth = int16_depth((1u << (kBits + kStates)) - 1);
  const bool whole = strip.chains == 1;
  const size_t second_x = whole ? kBlockColumns : 0, second_sums = whole ? 0 : strip.steps() * kSumLanes;
  for (size_t at = 0; at < kLineBytes; at += kN) {
    const uint8_t* HWY_RESTRICT step = strip.codes() + at;
    for (size_t t = 0; t < strip.steps(); ++t, step += kBits * kLineBytes) {
      if (at == 0) {
        for (size_t line = 0; line < kBits; ++line) hwy::Prefetch(step + 2048 + line * kLineBytes);
      }
      const LowBits low = LoadLowBits<kBits, kStates>(step, u + t * kLineBytes + at);
      const VB k0 = Code<kBits, kStates, 0>(step, low), k1 = Code<kBits, kStates, 1>(step, low);
      const VB k2 = Code<kBits, kStates, 2>(step, low), k3 = Code<kBits, kStates, 3>(step, low);
      const VB k4 = Code<kBits, kStates, 4>(step, low), k5 = Code<kBits, kStates, 5>(step, low);
      const VB k6 = Code<kBits, kStates, 6>(step, low), k7 = Code<kBits, kStates, 7>(step, low);
      for (size_t n = 0; n < count; ++n) {
        const int8_t* x = inputs[n].x + at;
        float* sums = inputs[n].sums + t * kSumLanes + at / 4;
        AddScaled(DotOfFour<kDepth>(k0, k1, k2, k3, x), inputs[n].scales[0], sums);
        AddScaled(DotOfFour<kDepth>(k4, k5, k6, k7, x + second_x), inputs[n].scales[whole ? 1 : 0], sums + second_sums);
      }
    }
  }
}

using DotsFunction = void (*)(const Strip&, const uint8_t*, const StripInput*, size_t);
constexpr DotsFunction kDots[2][kMostBits + 1] = {
    {Dots<0, false>, Dots<1, false>, Dots<2, false>, Dots<3, false>, Dots<4, false>, Dots<5, false>, Dots<6, false>,
     Dots<7, false>, Dots<8, false>},
    {Dots<0, true>, Dots<1, true>, Dots<2, true>, Dots<3, true>, Dots<4, true>, Dots<5, true>, Dots<6, true>,
     Dots<7, true>, nullptr}};

// Strips of 4 and 8 chains: few columns, so that no group of k' is worth more than this.
void NarrowDots(const Strip& strip, const uint8_t* u, const StripInput* HWY_RESTRICT inputs, size_t count) {
  const DB d;
  HWY_ALIGN uint8_t k[kStripColumns];
  const size_t groups = kGroups / strip.chains;
  for (size_t t = 0; t < strip.steps(); ++t) {
    UnpackStep(strip, t, u + t * kLineBytes, k);
    for (size_t n = 0; n < count; ++n) {
      for (size_t g = 0; g < kGroups; ++g) {
        float* sums = inputs[n].sums + (t + g / groups * strip.steps()) * kSumLanes;
        for (size_t at = 0; at < kLineBytes; at += kN) {
          V32 dot = hn::Zero(D32());
          AddWide(d, hn::Load(d, k + g * kLineBytes + at), hn::Load(DI8(), inputs[n].x + g % groups * kLineBytes + at),
                  dot);
          AddScaled(dot, inputs[n].scales[0], sums + at / 4);
        }
      }
    }
  }
}

void StripDots(const Strip& strip, const StripInput* inputs, size_t count) {
  HWY_ALIGN uint8_t states[kMostStatePlanes * kLineBytes], u[kPanelRows * kLineBytes];
  const bool with_states = strip.state_planes != 0;
  if (with_states) {
    std::memcpy(states, strip.data, strip.state_planes * kLineBytes);
    WalkStates(strip, strip.steps(), states, u);
  }
  if (strip.chains > 2) return NarrowDots(strip, u, inputs, count);
  kDots[with_states][strip.bits](strip, u, inputs, count);
}

void SumLanes(const float* HWY_RESTRICT sums, float* HWY_RESTRICT out) {
  const hn::CappedTag<float, kSumLanes> d;
  const hn::FixedTag<float, 4> d4;
  constexpr size_t n = hn::MaxLanes(hn::CappedTag<float, kSumLanes>());
  for (size_t r = 0; r < kPanelRows; r += 4) {
    const auto total = [&](size_t i) HWY_ATTR {
      auto sum = hn::Load(d, sums + (r + i) * kSumLanes);
      for (size_t j = n; j < kSumLanes; j += n) sum = hn::Add(sum, hn::Load(d, sums + (r + i) * kSumLanes + j));
      return sum;
    };
    hn::StoreU(SumsOfLanes4(d, total(0), total(1), total(2), total(3)), d4, out + r);
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(WalkStates);
HWY_EXPORT(UnpackStep);
HWY_EXPORT(StripDots);
HWY_EXPORT(SumLanes);

// Eight lanes of a word at a time; what a shift moves between bytes the mask takes away.
void pack_step(const uint8_t* codes, unsigned bits, bool with_states, uint8_t* out) {
  constexpr size_t kWords = kLineBytes / 8;
  unsigned left = bits;  // bits of the code below those that are packed
  const auto plane = [&](unsigned w) {
    left -= w;
    const size_t per_byte = 8 / w;
    const uint64_t mask = 0x0101010101010101u * ((1u << w) - 1);
    for (size_t g0 = 0; g0 < kGroups; g0 += per_byte, out += kLineBytes) {
      uint64_t words[kWords] = {};
      for (size_t t = 0; t < per_byte; ++t) {
        uint64_t from[kWords];
        std::memcpy(from, codes + (g0 + t) * kLineBytes, kLineBytes);
        for (size_t i = 0; i < kWords; ++i) words[i] |= (from[i] >> left & mask) << (t * w);
      }
      std::memcpy(out, words, kLineBytes);
    }
  };
  const bool own_low = with_states && bits != 0;
  for (const unsigned w : {8u, 4u, 2u, 1u}) {
    if (((bits - (own_low ? 1 : 0)) & w) != 0) plane(w);
  }
  if (own_low) plane(1);
}

void walk_states(const Strip& strip, size_t steps, uint8_t* states, uint8_t* u) {
  OCC_CHECK(strip.state_planes >= 2 && strip.state_planes <= kMostStatePlanes && steps <= kPanelRows);
  HWY_DYNAMIC_DISPATCH(WalkStates)(strip, steps, states, u);
}

void unpack_step(const Strip& strip, size_t step, const uint8_t* u, uint8_t* out) {
  OCC_CHECK(strip.bits <= (strip.state_planes != 0 ? kMostBits - 1 : kMostBits));
  HWY_DYNAMIC_DISPATCH(UnpackStep)(strip, step, u, out);
}

void unpack_strip(const Strip& strip, uint8_t* out) {
  alignas(64) uint8_t states[kMostStatePlanes * kLineBytes], u[kPanelRows * kLineBytes], lanes[kStripColumns];
  if (strip.state_planes != 0) {
    std::memcpy(states, strip.data, strip.state_planes * kLineBytes);
    walk_states(strip, strip.steps(), states, u);
  }
  const size_t width = strip.width();
  for (size_t t = 0; t < strip.steps(); ++t) {
    unpack_step(strip, t, u + t * kLineBytes, strip.chains == 1 ? out + t * kStripColumns : lanes);
    for (size_t c = 0; c < strip.chains && strip.chains > 1; ++c) {
      std::memcpy(out + (t + c * strip.steps()) * kStripColumns, lanes + c * width, width);
    }
  }
}

void strip_dots(const Strip& strip, std::span<const StripInput> inputs) {
  OCC_CHECK(strip.rows >= 1 && strip.rows <= kPanelRows);
  OCC_CHECK(strip.bits <= (strip.state_planes != 0 ? kMostBits - 1 : kMostBits));
  if (use_vnni()) return strip_dots_vnni(strip, inputs.data(), inputs.size());
  HWY_DYNAMIC_DISPATCH(StripDots)(strip, inputs.data(), inputs.size());
}

void sum_lanes(const float* sums, float* out) { HWY_DYNAMIC_DISPATCH(SumLanes)(sums, out); }

}  // namespace occ
#endif
