// Products of strips with many inputs, by the byte dot products of AVX-512 (VNNI), for CPUs where use_vnni() says so
// (simd/simd.h). The integers of a strip become a tile, in which 16 rows stand side by side, so that a sum of products
// needs no sum over lanes at its end:
//
//   tile [4][width / 4][16][4]   rows 16 i to 16 i + 15, by four columns ("quad"), then by row
//
// and activations become groups of 12 inputs, [groups][padded columns / 4][12][4]. The inner loop keeps the sums of 32
// rows and 12 inputs in 24 registers: 24 instructions of 64 products per quad, 2 loads of the tile and 12 of inputs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "operators/strip.h"

namespace occ {

constexpr size_t kGroupInputs = 12;

// k [64, 512]: integers of a strip as unpack_strip() writes them. Writes those + shift (mod 256) as a tile.
void make_tile_vnni(const uint8_t* k, size_t width, uint8_t shift, uint8_t* tile);

struct TileDots {
  const uint8_t* tile = nullptr;  // aligned to 64 bytes, as y is
  size_t width = 0;               // of the strip
  size_t count = 0;               // number of inputs
  const int8_t* x = nullptr;      // the strip's first quad in the first group
  size_t x_stride = 0;            // bytes from one group to the next
  const float* scales = nullptr;  // [12] of the strip's first block in the first group; then those of its second
  size_t scale_stride = 0;        // from one group to the next
  float* y = nullptr;             // [count rounded up to groups, 64]
};
// y[b][r] += sum_c scale(block of c, b) tile(r, c) x(b, c).
void tile_dots_vnni(const TileDots& dots);

}  // namespace occ
