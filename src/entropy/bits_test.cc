// Compares packing with bit-by-bit oracles, for every width, length and offset, on every SIMD target.
#include "entropy/bits.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "hwy/targets.h"

namespace occ {
namespace {

Bytes slow_pack(const std::vector<Symbol>& symbols, unsigned width) {
  Bytes out((symbols.size() * width + 7) / 8);
  for (size_t i = 0; i < symbols.size() * width; ++i) {
    const unsigned bit = (symbols[i / width] >> (i % width)) & 1;
    out[i / 8] = static_cast<uint8_t>(out[i / 8] | bit << (i % 8));
  }
  return out;
}

TEST(PackedSymbols, EveryWidthLengthAndTarget) {
  Rng rng(3);
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    for (unsigned width = 0; width <= 16; ++width) {
      for (const size_t count : {0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 40, 63, 100, 129, 1000}) {
        std::vector<Symbol> symbols(count);
        for (Symbol& s : symbols) s = static_cast<Symbol>(rng.below(uint64_t{1} << width));
        const Bytes expected = slow_pack(symbols, width);
        ASSERT_EQ(packed_bytes(count, width), expected.size());
        Bytes packed(expected.size());
        pack_symbols(symbols.data(), count, width, packed.data());
        ASSERT_EQ(packed, expected) << width << " bits, " << count << ", " << hwy::TargetName(target);
        for (size_t first = 0; first <= count; first += 1 + first / 3) {
          for (const size_t n : {size_t{0}, size_t{1}, (count - first) / 2, count - first}) {
            if (first + n > count) continue;
            std::vector<Symbol> out(n + 1, 0xabcd);
            const Symbol greatest = unpack_symbols(packed.data(), packed.size(), width, first, n, out.data());
            Symbol top = 0;
            for (size_t i = 0; i < n; ++i) {
              ASSERT_EQ(out[i], symbols[first + i]) << width << " bits, first " << first << ", " << i;
              top = std::max(top, out[i]);
            }
            EXPECT_EQ(greatest, top);
            EXPECT_EQ(out[n], 0xabcd);
          }
        }
      }
    }
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(PackedSymbols, SizesDoNotOverflow) {
  EXPECT_EQ(packed_bytes(9, 3), 4u);
  EXPECT_EQ(packed_bytes(uint64_t{1} << 62, 16), uint64_t{1} << 63);
}

TEST(BitStrings, ReaderReadsWhatWriterWroteAndNoMore) {
  Rng rng(4);
  BitWriter writer;
  std::vector<std::pair<uint32_t, unsigned>> values;
  for (int i = 0; i < 1000; ++i) {
    const auto width = static_cast<unsigned>(rng.below(33));
    values.emplace_back(static_cast<uint32_t>(rng.below(uint64_t{1} << width)), width);
    writer.put(values.back().first, width);
  }
  const size_t bits = writer.bits();
  const Bytes bytes = writer.take();
  EXPECT_EQ(bytes.size(), (bits + 7) / 8);
  BitReader reader(bytes);
  uint32_t value = 0;
  for (const auto& [expected, width] : values) {
    ASSERT_TRUE(reader.get(width, value));
    ASSERT_EQ(value, expected);
  }
  EXPECT_TRUE(reader.used_up());
  EXPECT_FALSE(reader.get(8, value));
}

}  // namespace
}  // namespace occ
