// Has compile flags of its own, as strip_vnni.cc, and like it calls no inline function that others share.
#include "operators/gemm_vnni.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512DQ__)

#include <immintrin.h>

#include <utility>

namespace occ {
namespace {

using V = __m512i;

inline V load(const void* p) { return _mm512_load_si512(p); }
inline void add_dot(V& sum, V k, V x) { asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(k), "v"(x)); }

// Rows of 16 dwords become columns.
inline void transpose16(V* v) {
  V t[16], u[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 4) {
    u[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    u[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    u[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    u[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  // u[4 a + c] holds rows 4 a to 4 a + 3 of columns c, 4 + c, 8 + c and 12 + c.
#pragma GCC unroll 16
  for (int c = 0; c < 4; ++c) {
    const V a = _mm512_shuffle_i32x4(u[c], u[4 + c], 0x88), b = _mm512_shuffle_i32x4(u[c], u[4 + c], 0xDD);
    const V d = _mm512_shuffle_i32x4(u[8 + c], u[12 + c], 0x88), e = _mm512_shuffle_i32x4(u[8 + c], u[12 + c], 0xDD);
    v[c] = _mm512_shuffle_i32x4(a, d, 0x88);
    v[8 + c] = _mm512_shuffle_i32x4(a, d, 0xDD);
    v[4 + c] = _mm512_shuffle_i32x4(b, e, 0x88);
    v[12 + c] = _mm512_shuffle_i32x4(b, e, 0xDD);
  }
}

// y[i][0..31] += scale[i] * (32 rows of `quads` quads) . x[i], for as many inputs as there are I.
template <size_t... I>
inline void dots_of_block(const uint8_t* rows0, const uint8_t* rows1, size_t quads, const int8_t* x,
                          const float* scales, float* y, std::index_sequence<I...>) {
  V sum0[] = {((void)I, _mm512_setzero_si512())...}, sum1[] = {((void)I, _mm512_setzero_si512())...};
  for (size_t q = 0; q < quads; ++q, x += kGroupInputs * 4) {
    const V k0 = load(rows0 + q * 64), k1 = load(rows1 + q * 64);
    const auto one = [&](V & s0, V & s1, const int8_t* at) __attribute__((always_inline)) {
      int four;
      __builtin_memcpy(&four, at, 4);
      const V both = _mm512_set1_epi32(four);
      add_dot(s0, k0, both);
      add_dot(s1, k1, both);
    };
    (one(sum0[I], sum1[I], x + 4 * I), ...);
  }
  const auto add = [](V sum, __m512 scale, float* to) __attribute__((always_inline)) {
    _mm512_store_ps(to, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, _mm512_load_ps(to)));
  };
  ((add(sum0[I], _mm512_set1_ps(scales[I]), y + I * 64), add(sum1[I], _mm512_set1_ps(scales[I]), y + I * 64 + 16)),
   ...);
}

template <size_t kInputs>
void dots_of_group(const TileDots& d, size_t group) {
  const int8_t* x = d.x + group * d.x_stride;
  const float* scales = d.scales + group * d.scale_stride;
  const size_t quads = d.width / 4, half = quads < kBlockColumns / 4 ? quads : kBlockColumns / 4;
  float* y = d.y + group * kGroupInputs * 64;
  for (size_t q = 0; q < quads; q += half, x += half * kGroupInputs * 4, scales += kGroupInputs) {
    const uint8_t* rows = d.tile + q * 64;
    for (size_t r = 0; r < 64; r += 32, rows += 2 * quads * 64) {
      dots_of_block(rows, rows + quads * 64, half, x, scales, y + r, std::make_index_sequence<kInputs>());
    }
  }
}

}  // namespace

void make_tile_vnni(const uint8_t* k, size_t width, uint8_t shift, uint8_t* tile) {
  const V more = _mm512_set1_epi8(static_cast<char>(shift));
  for (size_t rows = 0; rows < 4; ++rows) {
    for (size_t col = 0; col < width; col += 64, tile += 1024) {
      V v[16];
      const uint8_t* from = k + rows * 16 * kStripColumns + col;
#pragma GCC unroll 16
      for (size_t r = 0; r < 16; ++r) v[r] = _mm512_add_epi8(load(from + r * kStripColumns), more);
      transpose16(v);
#pragma GCC unroll 16
      for (size_t q = 0; q < 16; ++q) _mm512_store_si512(tile + q * 64, v[q]);
    }
  }
}

void tile_dots_vnni(const TileDots& dots) {
  size_t group = 0;
  for (; (group + 1) * kGroupInputs <= dots.count; ++group) dots_of_group<kGroupInputs>(dots, group);
  const size_t left = dots.count - group * kGroupInputs;
  if (left > 8) return dots_of_group<kGroupInputs>(dots, group);
  if (left > 4) return dots_of_group<8>(dots, group);
  if (left > 0) dots_of_group<4>(dots, group);
}

}  // namespace occ

#else

namespace occ {
void make_tile_vnni(const uint8_t*, size_t, uint8_t, uint8_t*) { __builtin_trap(); }  // use_vnni() is false
void tile_dots_vnni(const TileDots&) { __builtin_trap(); }
}  // namespace occ

#endif
