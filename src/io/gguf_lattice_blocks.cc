// Block types of ggml whose values are points of a lattice (IQ1 to IQ3), ternary numbers, signs or floats of 4 bits.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "io/gguf_block.h"
#include "io/gguf_grids.h"
#include "tensor/small_floats.h"

namespace occ {
namespace {

struct BlockIQ2_XXS {  // 2.0625 bits per weight: 8 groups of 32
  static constexpr size_t kElements = 256;
  Half d;
  uint8_t q[64];  // of a group: 4 indices, then 32 bits with 4 x 7 bits of signs and a scale of 4 bits
};
struct BlockIQ2_XS {  // 2.3125 bits per weight: 16 groups of 16
  static constexpr size_t kElements = 256;
  Half d;
  Half q[32];         // index of 9 bits, signs of 7 bits
  uint8_t scales[8];  // two groups in a byte
};
struct BlockIQ2_S {  // 2.5625 bits per weight
  static constexpr size_t kElements = 256;
  Half d;
  uint8_t q[32];      // low 8 bits of the indices
  uint8_t signs[32];  // bit i is that of value i of the 8
  uint8_t high[8];    // their high 2 bits, four in a byte
  uint8_t scales[8];
};
struct BlockIQ3_XXS {  // 3.0625 bits per weight: 8 groups of 32
  static constexpr size_t kElements = 256;
  Half d;
  uint8_t q[64];       // indices of 4 values
  uint8_t scales[32];  // of a group 32 bits as in IQ2_XXS
};
struct BlockIQ3_S {  // 3.4375 bits per weight
  static constexpr size_t kElements = 256;
  Half d;
  uint8_t q[64];
  uint8_t high[8];  // bit 8 of the indices
  uint8_t signs[32];
  uint8_t scales[4];  // groups of 32
};
struct BlockIQ1_S {  // 1.5625 bits per weight: 8 groups of 32
  static constexpr size_t kElements = 256;
  Half d;
  uint8_t q[32];
  Half high[8];  // 4 x 3 high bits of the indices, a scale of 3 bits, the sign of the shift
};
struct BlockIQ1_M {  // 1.75 bits per weight: 16 groups of 16
  static constexpr size_t kElements = 256;
  uint8_t q[32];
  uint8_t high[16];  // of 8 values: 3 high bits of the index, the sign of the shift
  Half scales[4];    // 4 x 3 bits each; their high 4 bits together are the f16 of the block
};
struct BlockTQ1_0 {  // 1.6875 bits per weight: ternary, 5 values in a byte
  static constexpr size_t kElements = 256;
  uint8_t q[48];
  uint8_t high[4];  // 4 values in a byte
  Half d;
};
struct BlockTQ2_0 {  // 2.0625 bits per weight
  static constexpr size_t kElements = 256;
  uint8_t q[64];
  Half d;
};
struct BlockMXFP4 {  // 4.25 bits per weight: E2M1 with a power of two
  static constexpr size_t kElements = 32;
  uint8_t exponent;
  uint8_t q[16];  // value i < 16 in the low half of q[i], value 16 + i in the high half
};
struct BlockNVFP4 {  // 4.5 bits per weight: 4 groups of 16, E2M1 with a scale in E4M3
  static constexpr size_t kElements = 64;
  uint8_t scales[4];
  uint8_t q[32];  // 8 bytes for each group, halves as in MXFP4
};
struct BlockQ8_K {  // 9.125 bits per weight
  static constexpr size_t kElements = 256;
  uint8_t d[4];  // f32
  int8_t q[256];
  uint8_t sums[32];
};
struct BlockQ1_0 {  // 1.125 bits per weight: signs
  static constexpr size_t kElements = 128;
  Half d;
  uint8_t q[16];
};
struct BlockQ2_0 {  // 2.25 bits per weight: d (q - 1)
  static constexpr size_t kElements = 64;
  Half d;
  uint8_t q[16];
};
static_assert(sizeof(BlockIQ2_XXS) == 66 && sizeof(BlockIQ2_XS) == 74 && sizeof(BlockIQ2_S) == 82);
static_assert(sizeof(BlockIQ3_XXS) == 98 && sizeof(BlockIQ3_S) == 110 && sizeof(BlockIQ1_S) == 50);
static_assert(sizeof(BlockIQ1_M) == 56 && sizeof(BlockTQ1_0) == 54 && sizeof(BlockTQ2_0) == 66);
static_assert(sizeof(BlockMXFP4) == 17 && sizeof(BlockNVFP4) == 36 && sizeof(BlockQ8_K) == 292);
static_assert(sizeof(BlockQ1_0) == 18 && sizeof(BlockQ2_0) == 18);

constexpr std::array<float, 4> kIq2Levels = {8, 25, 43, 0};  // no entry of a grid has the fourth
constexpr std::array<float, 8> kIq3XxsLevels = {4, 12, 20, 28, 36, 44, 52, 62};

uint32_t word_at(const uint8_t* b) { return b[0] | (b[1] << 8) | (b[2] << 16) | (static_cast<uint32_t>(b[3]) << 24); }

// The eighth sign makes the number of negative values even.
unsigned with_parity(uint32_t seven) {
  return static_cast<unsigned>((seven & 127) | (static_cast<uint32_t>(std::popcount(seven & 127) & 1) << 7));
}

float signed_value(float value, unsigned signs, size_t i) { return ((signs >> i) & 1) != 0 ? -value : value; }

void decode_iq2(unsigned entry, float scale, unsigned signs, float* out) {
  for (size_t i = 0; i < 8; ++i) out[i] = signed_value(scale * kIq2Levels[(entry >> (2 * i)) & 3], signs, i);
}

unsigned nibble(const uint8_t* b, size_t i) { return (b[i / 2] >> (i % 2 * 4)) & 15u; }

void decode(const BlockIQ2_XXS& b, float* out) {
  const float d = b.d.value();
  for (size_t g = 0; g < 8; ++g) {
    const uint8_t* q = b.q + g * 8;
    const uint32_t rest = word_at(q + 4);
    const float scale = d * (0.5f + static_cast<float>(rest >> 28)) * 0.25f;
    for (size_t k = 0; k < 4; ++k) {
      decode_iq2(kIq2XxsGrid[q[k]], scale, with_parity(rest >> (7 * k)), out + g * 32 + k * 8);
    }
  }
}

void decode(const BlockIQ2_XS& b, float* out) {
  const float d = b.d.value();
  for (size_t k = 0; k < 32; ++k) {
    const float scale = d * (0.5f + static_cast<float>(nibble(b.scales, k / 2))) * 0.25f;
    decode_iq2(kIq2XsGrid[b.q[k].bits() & 511], scale, with_parity(b.q[k].bits() >> 9), out + k * 8);
  }
}

void decode(const BlockIQ2_S& b, float* out) {
  const float d = b.d.value();
  for (size_t k = 0; k < 32; ++k) {
    const float scale = d * (0.5f + static_cast<float>(nibble(b.scales, k / 2))) * 0.25f;
    const unsigned index = b.q[k] | (((b.high[k / 4] >> (k % 4 * 2)) & 3u) << 8);
    decode_iq2(kIq2SGrid[index], scale, b.signs[k], out + k * 8);
  }
}

void decode(const BlockIQ3_XXS& b, float* out) {
  const float d = b.d.value();
  for (size_t g = 0; g < 8; ++g) {
    const uint32_t rest = word_at(b.scales + g * 4);
    const float scale = d * (0.5f + static_cast<float>(rest >> 28)) * 0.5f;
    for (size_t i = 0; i < 32; ++i) {
      const unsigned entry = kIq3XxsGrid[b.q[g * 8 + i / 4]];
      const unsigned signs = with_parity(rest >> (i / 8 * 7));
      out[g * 32 + i] = signed_value(scale * kIq3XxsLevels[(entry >> (i % 4 * 3)) & 7], signs, i % 8);
    }
  }
}

void decode(const BlockIQ3_S& b, float* out) {
  const float d = b.d.value();
  for (size_t k = 0; k < 64; ++k) {
    const float scale = d * static_cast<float>(1 + 2 * nibble(b.scales, k / 8));
    const unsigned entry = kIq3SGrid[b.q[k] | (((b.high[k / 8] >> (k % 8)) & 1u) << 8)];
    for (size_t i = 0; i < 4; ++i) {
      const auto level = static_cast<float>(2 * ((entry >> (3 * i)) & 7) + 1);
      out[k * 4 + i] = signed_value(scale * level, b.signs[k / 2], k % 2 * 4 + i);
    }
  }
}

void decode_iq1(unsigned entry, float scale, bool negative, float* out) {
  const float shift = negative ? -0.125f : 0.125f;
  for (size_t i = 0; i < 8; ++i) {
    out[i] = scale * (static_cast<float>((entry >> (2 * i)) & 3) - 1.0f + shift);
  }
}

void decode(const BlockIQ1_S& b, float* out) {
  const float d = b.d.value();
  for (size_t k = 0; k < 32; ++k) {
    const unsigned high = b.high[k / 4].bits();
    const float scale = d * static_cast<float>(2 * ((high >> 12) & 7) + 1);
    const unsigned index = b.q[k] | (((high >> (k % 4 * 3)) & 7) << 8);
    decode_iq1(kIq1Grid[index], scale, (high & 0x8000) != 0, out + k * 8);
  }
}

void decode(const BlockIQ1_M& b, float* out) {
  unsigned bits = 0;
  for (size_t i = 0; i < 4; ++i) bits |= (b.scales[i].bits() & 0xf000u) >> (12 - 4 * i);
  const float d = f16_to_f32(static_cast<uint16_t>(bits));
  for (size_t k = 0; k < 32; ++k) {
    const unsigned sub = (b.scales[k / 8].bits() >> (k / 2 % 4 * 3)) & 7u;
    const unsigned high = nibble(b.high, k);
    decode_iq1(kIq1Grid[b.q[k] | ((high & 7) << 8)], d * static_cast<float>(2 * sub + 1), (high & 8) != 0, out + k * 8);
  }
}

// A byte is the fraction q / 3^5 as 8 bits; its ternary digits come out of the products by powers of 3.
float ternary_digit(uint8_t byte, size_t i) {
  constexpr std::array<unsigned, 5> kPowers = {1, 3, 9, 27, 81};
  return static_cast<float>((((byte * kPowers[i]) & 255u) * 3) >> 8) - 1.0f;
}

void decode(const BlockTQ1_0& b, float* out) {
  const float d = b.d.value();
  for (size_t i = 0; i < 160; ++i) out[i] = d * ternary_digit(b.q[i % 32], i / 32);
  for (size_t i = 0; i < 80; ++i) out[160 + i] = d * ternary_digit(b.q[32 + i % 16], i / 16);
  for (size_t i = 0; i < 16; ++i) out[240 + i] = d * ternary_digit(b.high[i % 4], i / 4);
}

void decode(const BlockTQ2_0& b, float* out) {
  const float d = b.d.value();
  for (size_t i = 0; i < 256; ++i) {
    const int q = (b.q[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
    out[i] = d * static_cast<float>(q - 1);
  }
}

// Twice the values of E2M1, which are whole numbers; the scale is halved instead.
constexpr std::array<float, 16> kDoubledE2m1 = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void decode(const BlockMXFP4& b, float* out) {
  const float d = std::ldexp(1.0f, b.exponent - 128);
  for (size_t i = 0; i < 16; ++i) {
    out[i] = d * kDoubledE2m1[b.q[i] & 15];
    out[i + 16] = d * kDoubledE2m1[b.q[i] >> 4];
  }
}

void decode(const BlockNVFP4& b, float* out) {
  for (size_t g = 0; g < 4; ++g) {
    // The sign bit is not used. The code of NaN means 0, and with a sign 480.
    const unsigned code = b.scales[g] & 0x7f;
    const float magnitude = code == 0x7f ? 480.0f : float_e4m3().values[code];
    const float d = b.scales[g] == 0x7f ? 0.0f : magnitude * 0.5f;
    for (size_t i = 0; i < 8; ++i) {
      const uint8_t q = b.q[g * 8 + i];
      out[g * 16 + i] = d * kDoubledE2m1[q & 15];
      out[g * 16 + i + 8] = d * kDoubledE2m1[q >> 4];
    }
  }
}

void decode(const BlockQ8_K& b, float* out) {
  const float d = std::bit_cast<float>(word_at(b.d));
  for (size_t i = 0; i < 256; ++i) out[i] = d * static_cast<float>(b.q[i]);
}

void decode(const BlockQ1_0& b, float* out) {
  const float d = b.d.value();
  for (size_t i = 0; i < 128; ++i) out[i] = ((b.q[i / 8] >> (i % 8)) & 1) != 0 ? d : -d;
}

void decode(const BlockQ2_0& b, float* out) {
  const float d = b.d.value();
  for (size_t i = 0; i < 64; ++i) out[i] = d * static_cast<float>(((b.q[i / 4] >> (i % 4 * 2)) & 3) - 1);
}

}  // namespace

std::vector<GgufType> gguf_lattice_types() {
  using Fields = std::vector<uint32_t>;
  return {gguf_block_type<BlockQ8_K>(15, "Q8_K"),
          gguf_block_type<BlockIQ2_XXS>(16, "IQ2_XXS"),
          gguf_block_type<BlockIQ2_XS>(17, "IQ2_XS"),
          gguf_block_type<BlockIQ3_XXS>(18, "IQ3_XXS"),
          gguf_block_type<BlockIQ1_S>(19, "IQ1_S"),
          gguf_block_type<BlockIQ3_S>(21, "IQ3_S"),
          gguf_block_type<BlockIQ2_S>(22, "IQ2_S"),
          gguf_block_type<BlockIQ1_M>(29, "IQ1_M"),
          gguf_block_type<BlockTQ1_0>(34, "TQ1_0", Fields{52}),
          gguf_block_type<BlockTQ2_0>(35, "TQ2_0", Fields{64}),
          gguf_block_type<BlockMXFP4>(39, "MXFP4", Fields{}),
          gguf_block_type<BlockNVFP4>(40, "NVFP4", Fields{}),
          gguf_block_type<BlockQ1_0>(41, "Q1_0", Fields{0}),
          gguf_block_type<BlockQ2_0>(42, "Q2_0", Fields{0})};
}

}  // namespace occ
