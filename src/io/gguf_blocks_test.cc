#include "io/gguf_blocks.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/rng.h"
#include "io/for_test.h"
#include "test_data.h"

namespace occ {
namespace {

// One value of a block, straight from the definition: bytes b, index i. Written per element and without structs, so
// that it shares nothing with the code under test.
using Oracle = std::function<float(const uint8_t* b, unsigned i)>;

float half_at(const uint8_t* b, size_t at) { return f16_to_f32(static_cast<uint16_t>(b[at] + 256 * b[at + 1])); }
unsigned bits_at(const uint8_t* b, size_t bit, unsigned count) {  // little-endian bit string
  unsigned v = 0;
  for (unsigned k = 0; k < count; ++k) v += ((b[(bit + k) / 8] >> ((bit + k) % 8)) & 1u) << k;
  return v;
}
// Nibble i of a 32-block: 16 low halves, then 16 high halves.
unsigned nibble32(const uint8_t* q, unsigned i) { return i < 16 ? q[i] % 16 : q[i - 16] / 16; }
// The 2-bit field of value i of a 256-block in 64 bytes.
unsigned pair256(const uint8_t* q, unsigned i) { return bits_at(q + 32 * (i / 128) + i % 32, i % 128 / 32 * 2, 2); }
// The nibble of value i of a 256-block in 128 bytes.
unsigned nibble256(const uint8_t* q, unsigned i) { return bits_at(q + 32 * (i / 64) + i % 32, i % 64 / 32 * 4, 4); }
// 6-bit scale and minimum s of Q4_K and Q5_K.
unsigned k_scale(const uint8_t* b, unsigned s) {
  return s < 4 ? bits_at(b + s, 0, 6) : bits_at(b + s + 4, 0, 4) + 16 * bits_at(b + s - 4, 6, 2);
}
unsigned k_min(const uint8_t* b, unsigned s) {
  return s < 4 ? bits_at(b + s + 4, 0, 6) : bits_at(b + s + 4, 4, 4) + 16 * bits_at(b + s, 6, 2);
}
float level(unsigned q) {
  const int levels[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  return static_cast<float>(levels[q]);
}
float real(int v) { return static_cast<float>(v); }
int whole(unsigned v) { return static_cast<int>(v); }

const std::map<std::string, Oracle>& oracles() {
  static const std::map<std::string, Oracle> kOracles = {
      {"Q4_0", [](const uint8_t* b, unsigned i) { return half_at(b, 0) * real(whole(nibble32(b + 2, i)) - 8); }},
      {"Q4_1",
       [](const uint8_t* b, unsigned i) { return half_at(b, 0) * real(whole(nibble32(b + 4, i))) + half_at(b, 2); }},
      {"Q5_0",
       [](const uint8_t* b, unsigned i) {
         return half_at(b, 0) * real(whole(nibble32(b + 6, i) + 16 * bits_at(b + 2, i, 1)) - 16);
       }},
      {"Q5_1",
       [](const uint8_t* b, unsigned i) {
         return half_at(b, 0) * real(whole(nibble32(b + 8, i) + 16 * bits_at(b + 4, i, 1))) + half_at(b, 2);
       }},
      {"Q8_0", [](const uint8_t* b, unsigned i) { return half_at(b, 0) * real(static_cast<int8_t>(b[2 + i])); }},
      {"Q2_K",
       [](const uint8_t* b, unsigned i) {
         const float scale = half_at(b, 80) * real(b[i / 16] % 16);
         return scale * real(whole(pair256(b + 16, i))) - half_at(b, 82) * real(b[i / 16] / 16);
       }},
      {"Q3_K",
       [](const uint8_t* b, unsigned i) {
         const unsigned s = i / 16;
         const unsigned low = s < 8 ? b[96 + s] % 16 : b[96 + s - 8] / 16;
         const unsigned scale = low + 16 * bits_at(b + 104 + s % 4, s / 4 * 2, 2);
         const int q = whole(pair256(b + 32, i)) - (bits_at(b + i % 32, i / 32, 1) == 1 ? 0 : 4);
         return half_at(b, 108) * real(whole(scale) - 32) * real(q);
       }},
      {"Q4_K",
       [](const uint8_t* b, unsigned i) {
         const float scale = half_at(b, 0) * real(whole(k_scale(b + 4, i / 32)));
         return scale * real(whole(nibble256(b + 16, i))) - half_at(b, 2) * real(whole(k_min(b + 4, i / 32)));
       }},
      {"Q5_K",
       [](const uint8_t* b, unsigned i) {
         const float scale = half_at(b, 0) * real(whole(k_scale(b + 4, i / 32)));
         const unsigned q = nibble256(b + 48, i) + 16 * bits_at(b + 16 + i % 32, i / 32, 1);
         return scale * real(whole(q)) - half_at(b, 2) * real(whole(k_min(b + 4, i / 32)));
       }},
      {"Q6_K",
       [](const uint8_t* b, unsigned i) {
         const unsigned h = i / 128;
         const unsigned j = i % 128 / 32;
         const unsigned low = bits_at(b + 64 * h + 32 * (j % 2) + i % 32, j / 2 * 4, 4);
         const unsigned high = bits_at(b + 128 + 32 * h + i % 32, 2 * j, 2);
         const float scale = half_at(b, 208) * real(static_cast<int8_t>(b[192 + i / 16]));
         return scale * real(whole(low + 16 * high) - 32);
       }},
      {"IQ4_NL", [](const uint8_t* b, unsigned i) { return half_at(b, 0) * level(nibble32(b + 2, i)); }},
      {"IQ4_XS",
       [](const uint8_t* b, unsigned i) {
         const unsigned s = i / 32;
         const unsigned scale = bits_at(b + 4 + s / 2, s % 2 * 4, 4) + 16 * bits_at(b + 2, 2 * s, 2);
         return half_at(b, 0) * real(whole(scale) - 32) * level(nibble32(b + 8 + 16 * s, i % 32));
       }},
  };
  return kOracles;
}

TEST(GgufBlocks, TableIsIndexedById) {
  EXPECT_EQ(find_gguf_type(uint32_t{1000}), nullptr);
  size_t quantized = 0;
  size_t plain = 0;
  for (uint32_t id = 0; find_gguf_type(id) != nullptr; ++id) {
    const GgufType& t = *find_gguf_type(id);
    EXPECT_EQ(t.id, id);
    EXPECT_FALSE(t.name.empty());
    if (!t.supported()) {
      EXPECT_EQ(t.block_elements, 0u);
      continue;
    }
    EXPECT_LE(t.block_elements, kGgufMaxBlockElements);
    (t.quantized() ? quantized : plain) += 1;
    if (!t.quantized()) {
      EXPECT_EQ(find_gguf_type(t.dtype), &t);
    }
  }
  EXPECT_EQ(quantized, oracles().size() + 14);  // and those of gguf_lattice_types
  EXPECT_EQ(plain, 8u);                         // F32 F16 BF16 F64 I8 I16 I32 I64
  EXPECT_EQ(find_gguf_type(DType::kU8), nullptr);
  EXPECT_EQ(find_gguf_type(DType::kBool), nullptr);
}

TEST(GgufBlocks, BitsPerWeight) {
  const std::map<std::string, double> expected = {
      {"Q4_0", 4.5},     {"Q4_1", 5},       {"Q5_0", 5.5},       {"Q5_1", 6},         {"Q8_0", 8.5},
      {"Q2_K", 2.625},   {"Q3_K", 3.4375},  {"Q4_K", 4.5},       {"Q5_K", 5.5},       {"Q6_K", 6.5625},
      {"IQ4_NL", 4.5},   {"IQ4_XS", 4.25},  {"Q8_K", 9.125},     {"IQ2_XXS", 2.0625}, {"IQ2_XS", 2.3125},
      {"IQ2_S", 2.5625}, {"IQ3_S", 3.4375}, {"IQ3_XXS", 3.0625}, {"IQ1_S", 1.5625},   {"IQ1_M", 1.75},
      {"TQ1_0", 1.6875}, {"TQ2_0", 2.0625}, {"MXFP4", 4.25},     {"NVFP4", 4.5},      {"Q1_0", 1.125},
      {"Q2_0", 2.25}};
  size_t found = 0;
  for (uint32_t id = 0; find_gguf_type(id) != nullptr; ++id) {
    const GgufType& t = *find_gguf_type(id);
    if (!t.quantized()) continue;
    EXPECT_EQ(t.block_bytes * 8.0 / t.block_elements, expected.at(std::string(t.name))) << t.name;
    ++found;
  }
  EXPECT_EQ(found, expected.size());
}

TEST(GgufBlocks, RandomBlocksEqualTheFormulas) {
  for (uint32_t id = 0; find_gguf_type(id) != nullptr; ++id) {
    const GgufType& t = *find_gguf_type(id);
    if (!t.quantized() || !oracles().contains(std::string(t.name))) continue;
    const Oracle& oracle = oracles().at(std::string(t.name));
    Rng rng(id);
    for (const size_t blocks : {0, 1, 2, 3, 64}) {
      // Off by one byte: blocks need no alignment. Exact sizes: a sanitizer sees every step too far.
      std::vector<uint8_t> bytes(1 + blocks * t.block_bytes);
      for (uint8_t& b : bytes) b = static_cast<uint8_t>(rng.next());
      std::vector<float> out(blocks * t.block_elements, -12345);
      t.dequantize(bytes.data() + 1, blocks, out.data());
      for (size_t i = 0; i < out.size(); ++i) {
        const float want = oracle(bytes.data() + 1 + i / t.block_elements * t.block_bytes,
                                  static_cast<unsigned>(i % t.block_elements));
        if (std::isnan(want)) {
          ASSERT_TRUE(std::isnan(out[i])) << t.name << " value " << i;
        } else {
          ASSERT_EQ(std::bit_cast<uint32_t>(out[i]), std::bit_cast<uint32_t>(want)) << t.name << " value " << i;
        }
      }
    }
  }
}

// The hashes are of what the gguf package makes of the same pseudo-random blocks (tests/expected/gguf/make.py).
TEST(GgufBlocks, LatticeTypesEqualThePackage) {
  const std::map<std::string, size_t> halves = {{"IQ2_XXS", 1}, {"IQ2_XS", 1}, {"IQ2_S", 1},
                                                {"IQ3_XXS", 1}, {"IQ3_S", 1},  {"IQ1_S", 1},
                                                {"TQ1_0", 53},  {"TQ2_0", 65}, {"IQ1_M", 55}};
  const std::string text = get_bytes_for_test(source_folder() / "tests/expected/gguf/blocks.json");
  const nlohmann::json expected = nlohmann::json::parse(text);
  size_t found = 0;
  for (uint32_t id = 0; find_gguf_type(id) != nullptr; ++id) {
    const GgufType& t = *find_gguf_type(id);
    if (!expected.contains(std::string(t.name))) continue;
    ++found;
    constexpr size_t kBlocks = 200;
    std::vector<uint8_t> bytes(kBlocks * t.block_bytes);
    uint32_t x = 12345;
    for (uint8_t& b : bytes) {
      x = x * 1664525 + 1013904223;
      b = static_cast<uint8_t>(x >> 24);
    }
    if (const auto at = halves.find(std::string(t.name)); at != halves.end()) {
      for (size_t i = 0; i < kBlocks; ++i) {
        uint8_t& b = bytes[i * t.block_bytes + at->second];
        b = static_cast<uint8_t>((b & 0x83) | 0x28);
      }
    }
    std::vector<float> out(kBlocks * t.block_elements);
    t.dequantize(bytes.data(), kBlocks, out.data());
    EXPECT_EQ(hash_hex(hash64(out.data(), out.size() * sizeof(float))), expected[std::string(t.name)]) << t.name;
  }
  EXPECT_EQ(found, expected.size());
}

TEST(GgufBlocks, TypesWithoutAReferenceInThePackage) {
  std::vector<uint8_t> k(292);  // Q8_K: d, 256 integers, sums
  const float d = 0.5f;
  std::memcpy(k.data(), &d, 4);
  k[4] = 255;
  k[259] = 127;
  std::vector<float> out(256);
  find_gguf_type(15)->dequantize(k.data(), 1, out.data());
  EXPECT_EQ(out[0], -0.5f);
  EXPECT_EQ(out[255], 63.5f);
  const std::vector<uint8_t> one = {0, 0x3c, 0xe1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};  // d = 1
  find_gguf_type(41)->dequantize(one.data(), 1, out.data());                                      // Q1_0: signs
  EXPECT_EQ(std::vector<float>(out.begin(), out.begin() + 9), (std::vector<float>{1, -1, -1, -1, -1, 1, 1, 1, -1}));
  find_gguf_type(42)->dequantize(one.data(), 1, out.data());  // Q2_0: d (q - 1)
  EXPECT_EQ(std::vector<float>(out.begin(), out.begin() + 5), (std::vector<float>{0, -1, 1, 2, -1}));
}

TEST(GgufBlocks, PlainTypesConvert) {
  const double values[] = {0, -1.5, 1e10, -0.25};
  float out[4];
  find_gguf_type(DType::kF64)->dequantize(reinterpret_cast<const uint8_t*>(values), 4, out);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(out[i], static_cast<float>(values[i]));
  const int16_t ints[] = {0, -32768, 32767, 5};
  find_gguf_type(DType::kI16)->dequantize(reinterpret_cast<const uint8_t*>(ints), 4, out);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(out[i], static_cast<float>(ints[i]));
}

}  // namespace
}  // namespace occ
