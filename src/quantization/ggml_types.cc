#include "quantization/ggml_types.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace occ {
namespace {

constexpr GgmlType kTypes[] = {
    {.name = "Q4_0", .bits = 4, .zero = 8, .bytes = 18},
    {.name = "Q4_1", .bits = 4, .offsets = true, .bytes = 20},
    {.name = "Q5_0", .bits = 5, .zero = 16, .bytes = 22},
    {.name = "Q5_1", .bits = 5, .offsets = true, .bytes = 24},
    {.name = "Q8_0", .bits = 8, .zero = 128, .bytes = 34},
    {.name = "IQ4_NL", .bits = 4, .table = true, .bytes = 18},
    {.name = "Q2_K", .bits = 2, .sub = 16, .super = 256, .offsets = true, .most_scale = 15, .bytes = 84},
    {.name = "Q3_K", .bits = 3, .sub = 16, .super = 256, .least_scale = -32, .most_scale = 31, .zero = 4, .bytes = 110},
    {.name = "Q4_K", .bits = 4, .sub = 32, .super = 256, .offsets = true, .most_scale = 63, .bytes = 144},
    {.name = "Q5_K", .bits = 5, .sub = 32, .super = 256, .offsets = true, .most_scale = 63, .bytes = 176},
    {.name = "Q6_K",
     .bits = 6,
     .sub = 16,
     .super = 256,
     .least_scale = -128,
     .most_scale = 127,
     .zero = 32,
     .bytes = 210},
};

// Writes one byte after the other.
class Writer {
 public:
  explicit Writer(uint8_t* out) : out_(out) {}
  void half(uint16_t bits) {
    *out_++ = static_cast<uint8_t>(bits);
    *out_++ = static_cast<uint8_t>(bits >> 8);
  }
  // The next n bytes, set to 0.
  uint8_t* take(size_t n) {
    std::fill_n(out_, n, uint8_t{0});
    out_ += n;
    return out_ - n;
  }

 private:
  uint8_t* out_;
};

void put_bits(uint8_t& byte, unsigned value, size_t shift) { byte |= static_cast<uint8_t>(value << shift); }

// Blocks of 32: the low four bits of values i and 16 + i share a byte, fifth bits stand in four bytes before.
void pack_32(const GgmlType& type, std::span<const uint16_t> codes, Writer& w) {
  if (type.bits == 8) {
    uint8_t* q = w.take(32);
    for (size_t i = 0; i < 32; ++i) q[i] = static_cast<uint8_t>(codes[i] - type.zero);
    return;
  }
  if (type.bits == 5) {
    uint8_t* high = w.take(4);
    for (size_t i = 0; i < 32; ++i) put_bits(high[i / 8], codes[i] >> 4, i % 8);
  }
  uint8_t* q = w.take(16);
  for (size_t i = 0; i < 32; ++i) put_bits(q[i % 16], codes[i] & 15u, i / 16 * 4);
}

// Bits `shift`, ... of values 128 h + 32 j + l, width bits each, j < 8 / width of them in a byte.
void pack_quarters(std::span<const uint16_t> codes, unsigned shift, unsigned width, uint8_t* out) {
  const unsigned mask = (1u << width) - 1;
  for (size_t i = 0; i < 256; ++i) {
    const size_t h = i / 128, j = i / 32 % 4, l = i % 32;
    put_bits(out[32 * h + l], (codes[i] >> shift) & mask, width * j);
  }
}

// Eight scales and eight offsets of six bits.
void pack_sub_scales(const GgmlBlock& b, uint8_t* out) {
  const auto at = [](std::span<const int8_t> x, size_t j) { return static_cast<unsigned>(x[j]); };
  for (size_t j = 0; j < 4; ++j) {
    out[j] = static_cast<uint8_t>(at(b.scales, j) | (at(b.scales, j + 4) >> 4 << 6));
    out[j + 4] = static_cast<uint8_t>(at(b.offsets, j) | (at(b.offsets, j + 4) >> 4 << 6));
    out[j + 8] = static_cast<uint8_t>((at(b.scales, j + 4) & 15) | (at(b.offsets, j + 4) & 15) << 4);
  }
}

void pack_4k_5k(const GgmlType& type, const GgmlBlock& b, Writer& w) {
  w.half(b.scale);
  w.half(b.offset);
  pack_sub_scales(b, w.take(12));
  if (type.bits == 5) {
    uint8_t* high = w.take(32);
    for (size_t i = 0; i < 256; ++i) put_bits(high[i % 32], b.codes[i] >> 4, i / 32);
  }
  uint8_t* q = w.take(128);
  for (size_t i = 0; i < 256; ++i) put_bits(q[i / 64 * 32 + i % 32], b.codes[i] & 15u, i / 32 % 2 * 4);
}

void pack_2k(const GgmlBlock& b, Writer& w) {
  uint8_t* scales = w.take(16);
  for (size_t s = 0; s < 16; ++s) scales[s] = static_cast<uint8_t>(b.scales[s] | b.offsets[s] << 4);
  pack_quarters(b.codes, 0, 2, w.take(64));
  w.half(b.scale);
  w.half(b.offset);
}

void pack_3k(const GgmlBlock& b, Writer& w) {
  uint8_t* high = w.take(32);
  for (size_t i = 0; i < 256; ++i) put_bits(high[i % 32], b.codes[i] >> 2, i / 32);
  pack_quarters(b.codes, 0, 2, w.take(64));
  uint8_t* scales = w.take(12);
  for (size_t s = 0; s < 16; ++s) {
    const auto stored = static_cast<unsigned>(b.scales[s] + 32);
    put_bits(scales[s % 8], stored & 15, s / 8 * 4);
    put_bits(scales[8 + s % 4], stored >> 4, s / 4 * 2);
  }
  w.half(b.scale);
}

void pack_6k(const GgmlBlock& b, Writer& w) {
  uint8_t* low = w.take(128);
  for (size_t i = 0; i < 256; ++i) {
    const size_t h = i / 128, j = i / 32 % 4, l = i % 32;
    put_bits(low[64 * h + 32 * (j % 2) + l], b.codes[i] & 15u, j / 2 * 4);
  }
  pack_quarters(b.codes, 4, 2, w.take(64));
  uint8_t* scales = w.take(16);
  for (size_t s = 0; s < 16; ++s) scales[s] = static_cast<uint8_t>(b.scales[s]);
  w.half(b.scale);
}

}  // namespace

std::span<const GgmlType> ggml_types() { return kTypes; }

const GgmlType& ggml_type(std::string_view name) {
  const auto* found = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& t) { return t.name == name; });
  OCC_CHECK(found != std::end(kTypes));
  return *found;
}

void pack_ggml_block(const GgmlType& type, const GgmlBlock& block, uint8_t* out) {
  OCC_CHECK(block.codes.size() == type.super);
  Writer w(out);
  if (!type.has_integers()) {
    w.half(block.scale);
    if (type.offsets) w.half(block.offset);
    return pack_32(type, block.codes, w);
  }
  switch (type.bits) {
    case 2:
      return pack_2k(block, w);
    case 3:
      return pack_3k(block, w);
    case 6:
      return pack_6k(block, w);
    default:
      return pack_4k_5k(type, block, w);
  }
}

}  // namespace occ
