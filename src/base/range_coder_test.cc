#include "base/range_coder.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace occ {
namespace {

Bytes coded_integers(std::span<const int32_t> values) {
  RangeEncoder out;
  put_integers(values, out);
  return out.take();
}

std::vector<int32_t> decoded_integers(ByteSpan bytes, size_t count) {
  RangeDecoder in(bytes, "test");
  std::vector<int32_t> values(count);
  get_integers(values, in);
  in.expect_done();
  return values;
}

// Probabilities near 0 and 1 and long runs make the lowest number of the range end in 0xff bytes, which carries change.
TEST(RangeCoder, BitsOfEveryProbabilityComeBack) {
  Rng rng(1);
  for (int trial = 0; trial < 300; ++trial) {
    std::vector<uint8_t> bits(1 + rng.below(3000)), which(bits.size());
    const double ones[] = {0.5, 0.001, 0.999, rng.uniform()};
    for (size_t i = 0; i < bits.size(); ++i) {
      which[i] = static_cast<uint8_t>(rng.below(4));
      bits[i] = rng.uniform() < ones[which[i]] ? 1 : 0;
    }
    RangeEncoder out;
    AdaptiveBit writing[4], reading[4];
    for (size_t i = 0; i < bits.size(); ++i) {
      if (which[i] == 0) {
        out.put_raw(bits[i], 1);
      } else {
        out.put(writing[which[i]], bits[i] != 0);
      }
    }
    const Bytes bytes = out.take();
    RangeDecoder in(bytes, "test");
    for (size_t i = 0; i < bits.size(); ++i) {
      ASSERT_EQ(which[i] == 0 ? in.get_raw(1) : (in.get(reading[which[i]]) ? 1u : 0u), bits[i]) << trial << " " << i;
    }
    in.expect_done();
  }
}

TEST(RangeCoder, IntegersTakeAboutTheirEntropy) {
  Rng rng(2);
  for (const double deviation : {0.3, 3.0, 40.0}) {
    for (const double drift : {0.0, 0.05}) {
      if (drift > 0 && deviation < 1) continue;  // the center lags behind by almost one
      std::vector<int32_t> values(4000);
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<int32_t>(std::lrint(500 + drift * static_cast<double>(i) + deviation * rng.normal()));
      }
      const Bytes bytes = coded_integers(values);
      EXPECT_EQ(decoded_integers(bytes, values.size()), values);
      double entropy = 0;  // of a rounded Gaussian
      for (int k = -300; k <= 300; ++k) {
        const double p = 0.5 * (std::erf((k + 0.5) / deviation / M_SQRT2) - std::erf((k - 0.5) / deviation / M_SQRT2));
        if (p > 0) entropy -= p * std::log2(p);
      }
      const double bits = 8.0 * static_cast<double>(bytes.size()) / static_cast<double>(values.size());
      EXPECT_GT(bits, entropy - 0.05) << deviation;
      EXPECT_LT(bits, entropy + (drift == 0 ? 0.1 : 0.3)) << deviation << " " << drift;
    }
  }
}

TEST(RangeCoder, ShortAndExtremeSequences) {
  for (const std::vector<int32_t>& values :
       {std::vector<int32_t>{}, {0}, {-7}, {-32768, 32767, 0, 32767, -32768}, std::vector<int32_t>(5000, 3)}) {
    const Bytes bytes = coded_integers(values);
    EXPECT_EQ(decoded_integers(bytes, values.size()), values);
    EXPECT_LE(bytes.size(), 9 + 3 * std::min<size_t>(values.size(), 6));
  }
  for (const unsigned width : {0u, 1u, 5u, 8u}) {
    RangeEncoder out;
    AdaptiveTree writing(width), reading(width);
    for (uint32_t v = 0; v < 600; ++v) writing.put(v * v % (1u << width), out);
    const Bytes bytes = out.take();
    RangeDecoder in(bytes, "test");
    for (uint32_t v = 0; v < 600; ++v) ASSERT_EQ(reading.get(in), v * v % (1u << width));
    in.expect_done();
  }
}

TEST(RangeCoder, DamagedBytesAreErrors) {
  std::vector<int32_t> values(300);
  Rng rng(3);
  for (int32_t& v : values) v = static_cast<int32_t>(rng.below(50));
  const Bytes good = coded_integers(values);
  Bytes longer = good;
  longer.push_back(1);
  EXPECT_THROW(decoded_integers(longer, values.size()), Error);
  longer.back() = 0;
  EXPECT_THROW(decoded_integers(longer, values.size()), Error);
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_THROW(decoded_integers(ByteSpan(good).first(size), values.size()), Error) << size;
  }
  size_t unnoticed = 0;
  for (size_t i = 0; i < 8 * good.size(); ++i) {
    Bytes bad = good;
    bad[i / 8] ^= static_cast<uint8_t>(1u << i % 8);
    try {
      EXPECT_NE(decoded_integers(bad, values.size()), values) << i;
      ++unnoticed;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput);
    }
  }
  EXPECT_LE(unnoticed, 24u);  // rate, center and what else is as likely 0 as 1 and not learnt from
  EXPECT_THROW(RangeDecoder(good, "test").expect_room_for(uint64_t{1} << 40), Error);
}

}  // namespace
}  // namespace occ
