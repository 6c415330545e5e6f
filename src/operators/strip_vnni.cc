// The file has compile flags of its own (cmake/libraries.cmake). It calls no inline function of a header, except those of
// the intrinsics: the linker might take the copy that is compiled here for other files, and for CPUs without AVX-512.
//
// g++ 12 spills registers around _mm512_dpbusd_epi32, so the instruction stands in assembly. Distances of prefetching
// are measured: without it a core reads half as fast.
#include "operators/strip_vnni.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512DQ__)

#include <immintrin.h>

namespace occ {
namespace {

using V = __m512i;

// As in trellis_code.h, whose functions others share.
struct Code {
  unsigned h0, h1;
};
constexpr Code kCodes[] = {{05, 02}, {013, 04}, {023, 04}, {045, 010}, {0103, 024}, {0235, 0126}, {0515, 0362}};

constexpr size_t kBlockSteps = 8;  // whose planes of u are computed together
constexpr size_t kNear = 4096, kFar = 16384;

inline V load(const void* p) { return _mm512_load_si512(p); }
inline V all_bytes(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
inline V select(V mask, V a, V b) { return _mm512_ternarylogic_epi32(mask, a, b, 0xCA); }     // mask ? a : b
inline V masked_or(V a, V mask, V b) { return _mm512_ternarylogic_epi32(a, mask, b, 0xEA); }  // (a & mask) | b
template <int kBy>
inline V shifted(V v) {  // to higher bits, or by a negative number to lower ones
  if constexpr (kBy > 0) return _mm512_slli_epi16(v, kBy);
  if constexpr (kBy < 0) return _mm512_srli_epi16(v, -kBy);
  return v;
}
inline void add_dot(V& sum, V k, V x) { asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(k), "v"(x)); }

// The planes of u of some steps.
template <int kPlanes>
void walk(const uint8_t* b, size_t stride, size_t steps, uint8_t* states, uint8_t* u) {
  constexpr Code code = kCodes[kPlanes - 2];
  V s[kPlanes];
#pragma GCC unroll 8
  for (int p = 0; p < kPlanes; ++p) s[p] = load(states + p * 64);
  for (size_t t = 0; t < steps; ++t, b += stride) {
    const V bits = load(b), first = s[0];
    _mm512_store_si512(u + t * 64, first);
#pragma GCC unroll 8
    for (int p = 0; p < kPlanes; ++p) {
      V next = p + 1 < kPlanes ? s[p + 1] : _mm512_setzero_si512();
      if ((code.h0 >> (p + 1) & 1) != 0) next = _mm512_xor_si512(next, first);
      if ((code.h1 >> (p + 1) & 1) != 0) next = _mm512_xor_si512(next, bits);
      s[p] = next;
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < kPlanes; ++p) _mm512_store_si512(states + p * 64, s[p]);
}
using Walk = void (*)(const uint8_t*, size_t, size_t, uint8_t*, uint8_t*);
constexpr Walk kWalks[] = {walk<2>, walk<3>, walk<4>, walk<5>, walk<6>, walk<7>, walk<8>};

// The lowest two bits of k' of a step: u in bits 0, 2, 4, 6 and b above it, of even and odd groups.
struct LowBits {
  V even, odd;
};
template <int kBits, bool kStates>
inline LowBits low_bits(const uint8_t* step, const uint8_t* u) {
  if constexpr (!kStates) return {_mm512_setzero_si512(), _mm512_setzero_si512()};
  const V b = kBits == 0 ? _mm512_setzero_si512() : load(step + (kBits == 0 ? 0 : kBits - 1) * 64), first = load(u);
  const V high = all_bytes(0xAA);
  return {select(high, _mm512_add_epi8(b, b), first), select(high, b, shifted<-1>(first))};
}

// k' of group g.
template <int kBits, bool kStates, int g>
inline V code(const uint8_t* step, const LowBits& low) {
  constexpr int kHigh = kStates && kBits > 0 ? kBits - 1 : kBits, kUp = kStates ? 2 : 0;
  constexpr int k8 = kHigh & 8, k4 = kHigh & 4, k2 = kHigh & 2;
  if constexpr (k8 != 0) return load(step + g * 64);
  V v = _mm512_setzero_si512();
  if constexpr (kStates) {
    v = _mm512_and_si512(shifted<-(g & ~1)>(g % 2 == 0 ? low.even : low.odd), all_bytes(3));
  }
  if constexpr (k4 != 0) {
    constexpr int kTo = (kHigh & 3) + kUp;
    v = masked_or(shifted<kTo - g % 2 * 4>(load(step + g / 2 * 64)), all_bytes(15 << kTo), v);
  }
  if constexpr (k2 != 0) {
    constexpr int kTo = (kHigh & 1) + kUp;
    v = masked_or(shifted<kTo - g % 4 * 2>(load(step + (k4 + g / 4) * 64)), all_bytes(3 << kTo), v);
  }
  if constexpr ((kHigh & 1) != 0) {
    v = masked_or(shifted<kUp - g>(load(step + (k4 + k2) * 64)), all_bytes(1 << kUp), v);
  }
  return v;
}

inline void add_scaled(V dot, __m512 scale, float* sums) {
  _mm512_store_ps(sums, _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, _mm512_load_ps(sums)));
}

// One input of a strip of 512 columns: its activations stay in registers.
template <int kBits, bool kStates>
inline void step_of_one(const uint8_t* step, const uint8_t* u, const V* x, __m512 scale0, __m512 scale1, float* sums) {
  const LowBits low = low_bits<kBits, kStates>(step, u);
  V dot0 = _mm512_setzero_si512(), dot1 = dot0;
  add_dot(dot0, code<kBits, kStates, 0>(step, low), x[0]);
  add_dot(dot1, code<kBits, kStates, 4>(step, low), x[4]);
  add_dot(dot0, code<kBits, kStates, 1>(step, low), x[1]);
  add_dot(dot1, code<kBits, kStates, 5>(step, low), x[5]);
  add_dot(dot0, code<kBits, kStates, 2>(step, low), x[2]);
  add_dot(dot1, code<kBits, kStates, 6>(step, low), x[6]);
  add_dot(dot0, code<kBits, kStates, 3>(step, low), x[3]);
  add_dot(dot1, code<kBits, kStates, 7>(step, low), x[7]);
  __m512 sum = _mm512_load_ps(sums);
  sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot0), scale0, sum);
  _mm512_store_ps(sums, _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot1), scale1, sum));
}

// The codes of a step, and what is to be done with them for every input.
struct Steps {
  const StripInput* inputs;
  size_t count;
  unsigned chains;
  size_t chain_sums;  // floats from the sums of a row to those of the row that lies beside it
};
template <int kBits, bool kStates>
inline void step_of_many(const uint8_t* step, const uint8_t* u, const Steps& s, size_t first_sum) {
  const LowBits low = low_bits<kBits, kStates>(step, u);
  const V k0 = code<kBits, kStates, 0>(step, low), k1 = code<kBits, kStates, 1>(step, low);
  const V k2 = code<kBits, kStates, 2>(step, low), k3 = code<kBits, kStates, 3>(step, low);
  const V k4 = code<kBits, kStates, 4>(step, low), k5 = code<kBits, kStates, 5>(step, low);
  const V k6 = code<kBits, kStates, 6>(step, low), k7 = code<kBits, kStates, 7>(step, low);
  for (size_t n = 0; n < s.count; ++n) {
    const int8_t* x = s.inputs[n].x;
    float* sums = s.inputs[n].sums + first_sum;
    const __m512 scale = _mm512_set1_ps(s.inputs[n].scales[0]);
    const auto pair = [](V ka, const int8_t* xa, V kb, const int8_t* xb) __attribute__((always_inline)) {
      V dot = _mm512_setzero_si512();
      add_dot(dot, ka, load(xa));
      add_dot(dot, kb, load(xb));
      return dot;
    };
    if (s.chains <= 2) {
      const int8_t* y = s.chains == 1 ? x + 256 : x;
      V dot0 = pair(k0, x, k1, x + 64), dot1 = pair(k4, y, k5, y + 64);
      add_dot(dot0, k2, load(x + 128));
      add_dot(dot1, k6, load(y + 128));
      add_dot(dot0, k3, load(x + 192));
      add_dot(dot1, k7, load(y + 192));
      add_scaled(dot0, scale, sums);
      if (s.chains == 1) {
        add_scaled(dot1, _mm512_set1_ps(s.inputs[n].scales[1]), sums);
      } else {
        add_scaled(dot1, scale, sums + s.chain_sums);
      }
    } else if (s.chains == 4) {
      add_scaled(pair(k0, x, k1, x + 64), scale, sums);
      add_scaled(pair(k2, x, k3, x + 64), scale, sums + s.chain_sums);
      add_scaled(pair(k4, x, k5, x + 64), scale, sums + 2 * s.chain_sums);
      add_scaled(pair(k6, x, k7, x + 64), scale, sums + 3 * s.chain_sums);
    } else {
      const V only = load(x);
      const V all[] = {k0, k1, k2, k3, k4, k5, k6, k7};
#pragma GCC unroll 8
      for (size_t g = 0; g < 8; ++g) {
        V dot = _mm512_setzero_si512();
        add_dot(dot, all[g], only);
        add_scaled(dot, scale, sums + g * s.chain_sums);
      }
    }
  }
}

template <int kBits, bool kStates>
void dots(const Strip& strip, const StripInput* inputs, size_t count) {
  constexpr size_t kStride = kBits * 64;
  alignas(64) uint8_t states[kMostStatePlanes * 64], u[kBlockSteps * 64];
  alignas(64) static const uint8_t none[64] = {};
  const size_t steps = (strip.rows + strip.chains - 1) / strip.chains;
  if constexpr (kStates) {
    for (size_t p = 0; p < strip.state_planes; ++p) _mm512_store_si512(states + p * 64, load(strip.data + p * 64));
  }
  const bool one = count == 1 && strip.chains == 1;
  V x[8];
#pragma GCC unroll 8
  for (size_t g = 0; g < 8; ++g) x[g] = load(inputs->x + (one ? g * 64 : 0));
  const __m512 scale0 = _mm512_set1_ps(inputs->scales[0]), scale1 = _mm512_set1_ps(inputs->scales[1]);
  const Steps many{inputs, count, strip.chains, steps * kSumLanes};
  const uint8_t* step = strip.data + strip.state_planes * 64;
  for (size_t t = 0; t < steps;) {
    const size_t end = t + kBlockSteps < steps ? t + kBlockSteps : steps;
    if constexpr (kStates) {
      const uint8_t* b = kBits == 0 ? none : step + (kBits == 0 ? 0 : kBits - 1) * 64;
      kWalks[strip.state_planes - 2](b, kStride, end - t, states, u);
    }
    for (const uint8_t* at = u; t < end; ++t, step += kStride, at += 64) {
#pragma GCC unroll 8
      for (size_t line = 0; line < kStride; line += 64) {
        _mm_prefetch(reinterpret_cast<const char*>(step + kNear + line), _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char*>(step + kFar + line), _MM_HINT_T1);
      }
      if (one) {
        step_of_one<kBits, kStates>(step, at, x, scale0, scale1, inputs->sums + t * kSumLanes);
      } else {
        step_of_many<kBits, kStates>(step, at, many, t * kSumLanes);
      }
    }
  }
}

using Dots = void (*)(const Strip&, const StripInput*, size_t);
constexpr Dots kDots[2][kMostBits + 1] = {
    {dots<0, false>, dots<1, false>, dots<2, false>, dots<3, false>, dots<4, false>, dots<5, false>, dots<6, false>,
     dots<7, false>, dots<8, false>},
    {dots<0, true>, dots<1, true>, dots<2, true>, dots<3, true>, dots<4, true>, dots<5, true>, dots<6, true>,
     dots<7, true>, nullptr}};

}  // namespace

void strip_dots_vnni(const Strip& strip, const StripInput* inputs, size_t count) {
  if (count == 0) return;
  kDots[strip.state_planes != 0 ? 1 : 0][strip.bits](strip, inputs, count);
}

}  // namespace occ

#else

namespace occ {
void strip_dots_vnni(const Strip&, const StripInput*, size_t) { __builtin_trap(); }  // use_vnni() is false
}  // namespace occ

#endif
