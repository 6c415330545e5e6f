#include "base/bytes.h"

#include <gtest/gtest.h>

#include <limits>

namespace occ {
namespace {

TEST(Bytes, VarintsRoundTripAtEveryLength) {
  std::vector<uint64_t> values = {0, 1, 127, 128, 255, 16383, 16384, std::numeric_limits<uint64_t>::max()};
  for (unsigned shift = 0; shift < 64; ++shift) values.push_back(uint64_t{1} << shift);
  ByteWriter out;
  uint64_t expected_size = 0;
  for (const uint64_t v : values) {
    out.put_varint(v);
    expected_size += varint_bytes(v);
  }
  EXPECT_EQ(out.size(), expected_size);
  ByteReader in(out.span(), "test");
  for (const uint64_t v : values) EXPECT_EQ(in.get_varint(), v);
  EXPECT_NO_THROW(in.expect_done());
}

TEST(Bytes, VarintBeyond64BitsIsRefused) {
  const Bytes eleven(11, 0x80);
  EXPECT_THROW(ByteReader(eleven, "test").get_varint(), Error);
  Bytes too_large(9, 0xff);
  too_large.push_back(0x02);
  EXPECT_THROW(ByteReader(too_large, "test").get_varint(), Error);
}

TEST(Bytes, ReadingPastTheEndNamesTheSource) {
  const Bytes three = {1, 2, 3};
  ByteReader in(three, "some file");
  try {
    in.get<uint32_t>();
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    EXPECT_NE(std::string(e.what()).find("some file"), std::string::npos);
  }
  EXPECT_EQ(in.remaining(), 3u);
  uint64_t big = 0;
  EXPECT_THROW(in.get_array(&big, std::numeric_limits<size_t>::max()), Error);
  EXPECT_THROW(in.get_bytes(std::numeric_limits<size_t>::max()), Error);
}

}  // namespace
}  // namespace occ
