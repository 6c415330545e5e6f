#include <algorithm>

#include "base/check.h"
#include "io/gguf_block.h"

namespace occ {
namespace {

struct BlockQ4_0 {  // 4.5 bits per weight: d (q - 8)
  static constexpr size_t kElements = 32;
  Half d;
  uint8_t q[16];  // value i < 16 in the low half of q[i], value 16 + i in the high half
};
struct BlockQ4_1 {  // 5 bits per weight: d q + m
  static constexpr size_t kElements = 32;
  Half d, m;
  uint8_t q[16];
};
struct BlockQ5_0 {  // 5.5 bits per weight: d (q - 16)
  static constexpr size_t kElements = 32;
  Half d;
  uint8_t high[4];  // bit i is bit 4 of value i
  uint8_t q[16];
};
struct BlockQ5_1 {  // 6 bits per weight: d q + m
  static constexpr size_t kElements = 32;
  Half d, m;
  uint8_t high[4];
  uint8_t q[16];
};
struct BlockQ8_0 {  // 8.5 bits per weight: d q
  static constexpr size_t kElements = 32;
  Half d;
  int8_t q[32];
};
struct BlockQ2_K {  // 2.625 bits per weight: 16 sub-blocks of 16
  static constexpr size_t kElements = 256;
  uint8_t scales[16];  // the low half is the scale, the high half the minimum of a sub-block
  uint8_t q[64];       // bits 2 j and 2 j + 1 of q[32 h + l] are value 128 h + 32 j + l
  Half d, d_min;
};
struct BlockQ3_K {  // 3.4375 bits per weight: 16 sub-blocks of 16
  static constexpr size_t kElements = 256;
  uint8_t high[32];    // if bit 4 h + j of high[l] is 0, 4 is subtracted from value 128 h + 32 j + l
  uint8_t q[64];       // as in Q2_K
  uint8_t scales[12];  // 16 scales of 6 bits, stored plus 32: their low 4 bits in 8 bytes, then their high 2 bits in 4
  Half d;
};
struct BlockQ4_K {  // 4.5 bits per weight: 8 sub-blocks of 32
  static constexpr size_t kElements = 256;
  Half d, d_min;
  uint8_t scales[12];  // 8 scales and 8 minima of 6 bits, see sub_scale
  uint8_t q[128];      // value 64 g + l in the low half of q[32 g + l], value 64 g + 32 + l in the high half
};
struct BlockQ5_K {  // 5.5 bits per weight: 8 sub-blocks of 32
  static constexpr size_t kElements = 256;
  Half d, d_min;
  uint8_t scales[12];
  uint8_t high[32];  // bit s of high[l] is bit 4 of value 32 s + l
  uint8_t q[128];
};
struct BlockQ6_K {  // 6.5625 bits per weight: 16 sub-blocks of 16
  static constexpr size_t kElements = 256;
  uint8_t low[128];  // half j / 2 of low[64 h + 32 (j % 2) + l] is the low 4 bits of value 128 h + 32 j + l, j < 4
  uint8_t high[64];  // bits 2 j and 2 j + 1 of high[32 h + l] are its high 2 bits
  int8_t scales[16];
  Half d;
};
struct BlockIQ4_NL {  // 4.5 bits per weight: d table[q]
  static constexpr size_t kElements = 32;
  Half d;
  uint8_t q[16];
};
struct BlockIQ4_XS {  // 4.25 bits per weight: 8 sub-blocks of 32
  static constexpr size_t kElements = 256;
  Half d;
  uint8_t scales_high[2];  // bits 2 s and 2 s + 1 of these 16 bits are the high 2 bits of scale s
  uint8_t scales_low[4];   // half s of these 8 halves is the low 4 bits of scale s
  uint8_t q[128];          // 16 bytes for each sub-block, as in IQ4_NL
};
static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22);
static_assert(sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34 && sizeof(BlockQ2_K) == 84);
static_assert(sizeof(BlockQ3_K) == 110 && sizeof(BlockQ4_K) == 144 && sizeof(BlockQ5_K) == 176);
static_assert(sizeof(BlockQ6_K) == 210 && sizeof(BlockIQ4_NL) == 18 && sizeof(BlockIQ4_XS) == 136);

void decode(const BlockQ4_0& b, float* out) {
  const float d = b.d.value();
  for (size_t i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((b.q[i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((b.q[i] >> 4) - 8);
  }
}

void decode(const BlockQ4_1& b, float* out) {
  const float d = b.d.value();
  const float m = b.m.value();
  for (size_t i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(b.q[i] & 15) + m;
    out[i + 16] = d * static_cast<float>(b.q[i] >> 4) + m;
  }
}

// Sets out[i] to 16 if bit i of the four bytes is set, and otherwise to 0, for the 32 bits i.
void spread_fifth_bits(const uint8_t* high, uint8_t* out) {
  const uint32_t bits = high[0] | (high[1] << 8) | (high[2] << 16) | (static_cast<uint32_t>(high[3]) << 24);
  for (unsigned i = 0; i < 32; ++i) out[i] = static_cast<uint8_t>(((bits >> i) & 1) << 4);
}

void decode(const BlockQ5_0& b, float* out) {
  const float d = b.d.value();
  uint8_t fifth[32];
  spread_fifth_bits(b.high, fifth);
  for (size_t i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(((b.q[i] & 15) | fifth[i]) - 16);
    out[i + 16] = d * static_cast<float>(((b.q[i] >> 4) | fifth[i + 16]) - 16);
  }
}

void decode(const BlockQ5_1& b, float* out) {
  const float d = b.d.value();
  const float m = b.m.value();
  uint8_t fifth[32];
  spread_fifth_bits(b.high, fifth);
  for (size_t i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((b.q[i] & 15) | fifth[i]) + m;
    out[i + 16] = d * static_cast<float>((b.q[i] >> 4) | fifth[i + 16]) + m;
  }
}

void decode(const BlockQ8_0& b, float* out) {
  const float d = b.d.value();
  for (size_t i = 0; i < 32; ++i) out[i] = d * static_cast<float>(b.q[i]);
}

void decode(const BlockQ2_K& b, float* out) {
  const float d = b.d.value();
  const float d_min = b.d_min.value();
  for (size_t s = 0; s < 16; ++s) {  // sub-block s: 16 values of pair j = (s / 2) % 4 of half s / 8
    const float scale = d * static_cast<float>(b.scales[s] & 15);
    const float offset = d_min * static_cast<float>(b.scales[s] >> 4);
    const uint8_t* q = b.q + s / 8 * 32 + s % 2 * 16;
    const unsigned shift = s / 2 % 4 * 2;
    for (size_t i = 0; i < 16; ++i) out[s * 16 + i] = scale * static_cast<float>((q[i] >> shift) & 3) - offset;
  }
}

void decode(const BlockQ3_K& b, float* out) {
  const float d = b.d.value();
  for (size_t s = 0; s < 16; ++s) {
    const int low = (b.scales[s % 8] >> (s / 8 * 4)) & 15;
    const int high = (b.scales[8 + s % 4] >> (s / 4 * 2)) & 3;
    const float scale = d * static_cast<float>((low | (high << 4)) - 32);
    const uint8_t* q = b.q + s / 8 * 32 + s % 2 * 16;
    const uint8_t* mask = b.high + s % 2 * 16;
    const unsigned shift = s / 2 % 4 * 2;
    const unsigned bit = static_cast<unsigned>(s / 2);
    for (size_t i = 0; i < 16; ++i) {
      const int value = ((q[i] >> shift) & 3) + ((mask[i] >> bit) & 1) * 4 - 4;
      out[s * 16 + i] = scale * static_cast<float>(value);
    }
  }
}

// Scale and minimum number s of the 8 pairs that are stored in 12 bytes. Each has 6 bits. For s < 4 these are the low 6
// bits of bytes s and s + 4. For the others the low 4 bits of both are in byte s + 4, and the high 2 bits are the
// highest bits of bytes s - 4 and s.
struct SubScale {
  float scale;
  float min;
};
SubScale sub_scale(const uint8_t* b, size_t s) {
  if (s < 4) return {static_cast<float>(b[s] & 63), static_cast<float>(b[s + 4] & 63)};
  const int scale = (b[s + 4] & 15) | ((b[s - 4] >> 6) << 4);
  const int min = (b[s + 4] >> 4) | ((b[s] >> 6) << 4);
  return {static_cast<float>(scale), static_cast<float>(min)};
}

void decode(const BlockQ4_K& b, float* out) {
  const float d = b.d.value();
  const float d_min = b.d_min.value();
  for (size_t s = 0; s < 8; ++s) {
    const SubScale sub = sub_scale(b.scales, s);
    const float scale = d * sub.scale;
    const float offset = d_min * sub.min;
    const uint8_t* q = b.q + s / 2 * 32;
    const unsigned shift = s % 2 * 4;
    for (size_t i = 0; i < 32; ++i) out[s * 32 + i] = scale * static_cast<float>((q[i] >> shift) & 15) - offset;
  }
}

void decode(const BlockQ5_K& b, float* out) {
  const float d = b.d.value();
  const float d_min = b.d_min.value();
  for (size_t s = 0; s < 8; ++s) {
    const SubScale sub = sub_scale(b.scales, s);
    const float scale = d * sub.scale;
    const float offset = d_min * sub.min;
    const uint8_t* q = b.q + s / 2 * 32;
    const unsigned shift = s % 2 * 4;
    const auto bit = static_cast<unsigned>(s);
    for (size_t i = 0; i < 32; ++i) {
      const int value = ((q[i] >> shift) & 15) | (((b.high[i] >> bit) & 1) << 4);
      out[s * 32 + i] = scale * static_cast<float>(value) - offset;
    }
  }
}

void decode(const BlockQ6_K& b, float* out) {
  const float d = b.d.value();
  for (size_t s = 0; s < 16; ++s) {  // half h, pair j of bits, 16 of its 32 values
    const size_t h = s / 8;
    const size_t j = s / 2 % 4;
    const float scale = d * static_cast<float>(b.scales[s]);
    const uint8_t* low = b.low + h * 64 + j % 2 * 32 + s % 2 * 16;
    const uint8_t* high = b.high + h * 32 + s % 2 * 16;
    const auto low_shift = static_cast<unsigned>(j / 2 * 4);
    const auto high_shift = static_cast<unsigned>(j * 2);
    for (size_t i = 0; i < 16; ++i) {
      const int value = (((low[i] >> low_shift) & 15) | (((high[i] >> high_shift) & 3) << 4)) - 32;
      out[s * 16 + i] = scale * static_cast<float>(value);
    }
  }
}

void decode(const BlockIQ4_NL& b, float* out) {
  const float d = b.d.value();
  for (size_t i = 0; i < 16; ++i) {
    out[i] = d * kIq4Levels[b.q[i] & 15];
    out[i + 16] = d * kIq4Levels[b.q[i] >> 4];
  }
}

void decode(const BlockIQ4_XS& b, float* out) {
  const float d = b.d.value();
  const int scales_high = b.scales_high[0] | (b.scales_high[1] << 8);
  for (size_t s = 0; s < 8; ++s) {
    const int low = (b.scales_low[s / 2] >> (s % 2 * 4)) & 15;
    const int high = (scales_high >> (s * 2)) & 3;
    const float scale = d * static_cast<float>((low | (high << 4)) - 32);
    const uint8_t* q = b.q + s * 16;
    for (size_t i = 0; i < 16; ++i) {
      out[s * 32 + i] = scale * kIq4Levels[q[i] & 15];
      out[s * 32 + i + 16] = scale * kIq4Levels[q[i] >> 4];
    }
  }
}

template <DType dtype>
void convert(const uint8_t* in, size_t count, float* out) {
  convert_to_f32(dtype, in, out, count);
}

template <DType dtype>
GgufType plain_type(uint32_t id) {
  return {id,
          dtype_name(dtype),
          1,
          static_cast<uint32_t>(dtype_size(dtype)),
          dtype,
          convert<dtype>,
          std::vector<uint32_t>{}};
}
GgufType unsupported(uint32_t id, std::string_view name) { return {id, name, 0, 0, DType::kF32, nullptr}; }

// All types, ordered by id. The types 4 and 5 (Q4_2, Q4_3) and 31 to 33 and 36 to 38 (repacked Q4_0 and IQ4_NL) were
// withdrawn by ggml.
std::vector<GgufType> all_types() {
  using Fields = std::vector<uint32_t>;
  std::vector<GgufType> all = {
      plain_type<DType::kF32>(0),
      plain_type<DType::kF16>(1),
      gguf_block_type<BlockQ4_0>(2, "Q4_0", Fields{0}),
      gguf_block_type<BlockQ4_1>(3, "Q4_1", Fields{0, 2}),
      unsupported(4, "Q4_2"),
      unsupported(5, "Q4_3"),
      gguf_block_type<BlockQ5_0>(6, "Q5_0", Fields{0}),
      gguf_block_type<BlockQ5_1>(7, "Q5_1", Fields{0, 2}),
      gguf_block_type<BlockQ8_0>(8, "Q8_0", Fields{0}),
      unsupported(9, "Q8_1"),
      gguf_block_type<BlockQ2_K>(10, "Q2_K", Fields{80, 82}),
      gguf_block_type<BlockQ3_K>(11, "Q3_K", Fields{108}),
      gguf_block_type<BlockQ4_K>(12, "Q4_K", Fields{0, 2}),
      gguf_block_type<BlockQ5_K>(13, "Q5_K", Fields{0, 2}),
      gguf_block_type<BlockQ6_K>(14, "Q6_K", Fields{208}),
      gguf_block_type<BlockIQ4_NL>(20, "IQ4_NL", Fields{0}),
      gguf_block_type<BlockIQ4_XS>(23, "IQ4_XS", Fields{0, 2}),
      plain_type<DType::kI8>(24),
      plain_type<DType::kI16>(25),
      plain_type<DType::kI32>(26),
      plain_type<DType::kI64>(27),
      plain_type<DType::kF64>(28),
      plain_type<DType::kBF16>(30),
      unsupported(31, "Q4_0_4_4"),
      unsupported(32, "Q4_0_4_8"),
      unsupported(33, "Q4_0_8_8"),
      unsupported(36, "IQ4_NL_4_4"),
      unsupported(37, "IQ4_NL_4_8"),
      unsupported(38, "IQ4_NL_8_8"),
  };
  for (GgufType& type : gguf_lattice_types()) all.push_back(std::move(type));
  std::sort(all.begin(), all.end(), [](const GgufType& a, const GgufType& b) { return a.id < b.id; });
  for (size_t i = 0; i < all.size(); ++i) OCC_CHECK(all[i].id == i);
  return all;
}

const std::vector<GgufType>& gguf_types() {
  static const std::vector<GgufType> kTypes = all_types();
  return kTypes;
}

}  // namespace

const GgufType* find_gguf_type(uint32_t id) { return id < gguf_types().size() ? &gguf_types()[id] : nullptr; }

const GgufType* find_gguf_type(std::string_view name) {
  const auto found =
      std::find_if(gguf_types().begin(), gguf_types().end(), [&](const auto& t) { return t.name == name; });
  return found == gguf_types().end() ? nullptr : &*found;
}

const GgufType* find_gguf_type(DType dtype) {
  for (const GgufType& type : gguf_types()) {
    if (type.supported() && !type.quantized() && type.dtype == dtype) return &type;
  }
  return nullptr;
}

}  // namespace occ
