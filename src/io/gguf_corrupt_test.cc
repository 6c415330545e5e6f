// Hostile GGUF files: each is refused with an error that names what is wrong, or reads fine; never a crash, never
// memory that the file's size does not justify.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/rng.h"
#include "io/gguf.h"
#include "io/gguf_json.h"
#include "io/gguf_test_builder.h"
#include "occ/error.h"

namespace occ {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// The message of the input error that opening gives; empty if it opens.
std::string error_of(ByteSpan bytes) {
  const TempFolder folder;
  try {
    const GgufFile file(write_test_file(folder / "bad.gguf", bytes));
    return "";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput) << e.what();
    const std::string text = e.what();
    EXPECT_THAT(text, HasSubstr("bad.gguf"));
    EXPECT_EQ(text.find('\n'), std::string::npos);
    return text;
  }
}
std::string error_of(const GgufBuilder& builder) { return error_of(builder.bytes()); }

Bytes zeros(size_t n) { return Bytes(n); }

// A valid file with many kinds of values and several tensors.
GgufBuilder sample() {
  GgufBuilder b;
  ByteWriter strings;
  strings.put<uint32_t>(8);
  strings.put<uint64_t>(3);
  for (const char* s : {"a", "", "\xc3("}) put_gguf_string(strings, s);
  ByteWriter nested;  // [[1, 2], ["x"]]
  nested.put<uint32_t>(9);
  nested.put<uint64_t>(2);
  nested.put<uint32_t>(4);
  nested.put<uint64_t>(2);
  nested.put<uint32_t>(1);
  nested.put<uint32_t>(2);
  nested.put<uint32_t>(8);
  nested.put<uint64_t>(1);
  put_gguf_string(nested, "x");
  b.key("general.architecture", "llama").key<uint32_t>("general.alignment", 4, 32).key<double>("d", 12, 0.5);
  b.key<uint8_t>("flag", 7, 1).key("tokens", 9, strings.span()).key("nested", 9, nested.span());
  b.tensor("f32", {8, 2}, 0, zeros(64)).tensor("q4_0", {64}, 2, zeros(36)).tensor("q6_K", {256, 2}, 14, zeros(420));
  b.tensor("bf16", {3, 1, 5}, 30, zeros(30)).tensor("last", {4}, 24, zeros(4));
  return b;
}

TEST(GgufCorrupt, TheSampleIsValid) { EXPECT_EQ(error_of(sample()), ""); }

TEST(GgufCorrupt, EveryTruncationIsRefused) {
  const Bytes bytes = sample().bytes();
  for (size_t n = 0; n < bytes.size(); ++n) EXPECT_NE(error_of(ByteSpan(bytes).first(n)), "") << n;
}

TEST(GgufCorrupt, WrongStart) {
  GgufBuilder b = sample();
  b.magic = "GGML";
  EXPECT_THAT(error_of(b), HasSubstr("expected a GGUF file, found one that starts with 'GGML'"));
  b.magic = "GGUF";
  b.version = 1;  // whose sizes have other widths
  EXPECT_NE(error_of(b), "");
  b.version = 4;
  EXPECT_THAT(error_of(b), HasSubstr("found 4"));
  b.version = 0;
  EXPECT_THAT(error_of(b), HasSubstr("found 0"));
  b.version = 0x03000000;  // big-endian, but the counts are not
  EXPECT_THAT(error_of(b), HasSubstr("tensors, found"));
}

TEST(GgufCorrupt, LyingCounts) {
  for (const uint64_t count : {uint64_t{7}, uint64_t{1000}, uint64_t{65536}, uint64_t{1} << 20, uint64_t{1} << 32,
                               uint64_t{1} << 63, ~uint64_t{0} - 1}) {
    GgufBuilder keys = sample();
    keys.claimed_keys = count;
    EXPECT_NE(error_of(keys), "") << count;
    GgufBuilder tensors = sample();
    tensors.claimed_tensors = count;
    EXPECT_NE(error_of(tensors), "") << count;
    for (const uint32_t type : {0, 5, 6, 7, 8, 9, 10, 12}) {
      ByteWriter array;
      array.put(type);
      array.put(count);
      EXPECT_THAT(error_of(GgufBuilder().key("a.key", 9, array.span())), HasSubstr("'a.key'")) << type << " " << count;
    }
    EXPECT_THAT(error_of(GgufBuilder().key<uint64_t>("a.key", 8, count)), HasSubstr("'a.key'")) << count;
  }
}

TEST(GgufCorrupt, BadMetadata) {
  EXPECT_THAT(error_of(sample().key("d", "again")), HasSubstr("metadata key 'd': expected once, found twice"));
  EXPECT_THAT(error_of(sample().key<uint32_t>("k", 13, 0)), AllOf(HasSubstr("'k'"), HasSubstr("found 13")));
  EXPECT_THAT(error_of(sample().key<uint8_t>("k", 7, 2)), AllOf(HasSubstr("'k'"), HasSubstr("bool")));
  EXPECT_THAT(error_of(sample().key("", "x")), HasSubstr("expected a name in UTF-8"));
  EXPECT_THAT(error_of(sample().key("\xff", "x")), HasSubstr("expected a name in UTF-8"));
  EXPECT_THAT(error_of(sample().key(std::string(70000, 'k'), "x")), HasSubstr("expected at most 65535 bytes"));
  EXPECT_THAT(error_of(GgufBuilder().key<uint32_t>("split.count", 4, 3)),
              HasSubstr("part 1 of 3 of a split model, expected the name NAME-00001-of-00003.gguf"));
  EXPECT_THAT(error_of(GgufBuilder().key<uint32_t>("split.count", 4, 1 << 30)), HasSubstr("at most 4096 files"));
  EXPECT_EQ(error_of(GgufBuilder().key<uint16_t>("split.count", 2, 1)), "");
}

// A file of 1 GiB (of holes) may not make the reader hold 1 GiB of metadata.
TEST(GgufCorrupt, HeadersAreBounded) {
  const TempFolder folder;
  const auto builder = GgufBuilder().key<uint64_t>("k", 8, uint64_t{1} << 29);
  const auto path = write_test_file(folder / "bad.gguf", builder.bytes());
  std::filesystem::resize_file(path, uint64_t{1} << 30);
  try {
    const GgufFile file(path);
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("'k'"), HasSubstr("expected a header of at most 134217728 bytes")));
  }
}

TEST(GgufCorrupt, NestedArrays) {
  for (int depth = 1; depth <= 100000; depth = depth < 8 ? depth + 1 : depth * 100) {
    ByteWriter w;
    for (int d = 1; d < depth; ++d) {
      w.put<uint32_t>(9);
      w.put<uint64_t>(1);
    }
    w.put<uint32_t>(0);
    w.put<uint64_t>(0);
    const std::string error = error_of(GgufBuilder().key("k", 9, w.span()));
    if (depth <= kGgufMaxNesting) {
      EXPECT_EQ(error, "") << depth;
    } else {
      EXPECT_THAT(error, AllOf(HasSubstr("'k'"), HasSubstr("nested"))) << depth;
    }
  }
}

TEST(GgufCorrupt, Alignment) {
  for (const uint32_t alignment : {0u, 3u, 48u, 0x80000000u, 0xffffffffu}) {
    const auto b = GgufBuilder().key<uint32_t>("general.alignment", 4, alignment);
    EXPECT_THAT(error_of(b), AllOf(HasSubstr("general.alignment"), HasSubstr(std::to_string(alignment))));
  }
  EXPECT_THAT(error_of(GgufBuilder().key<uint64_t>("general.alignment", 10, 32)), HasSubstr("expected type u32"));
  EXPECT_EQ(error_of(GgufBuilder().key<uint32_t>("general.alignment", 4, 1)), "");
  // Data that is aligned to 32 but not to the 64 that the file asks for.
  GgufBuilder b;
  b.key<uint32_t>("general.alignment", 4, 64);
  b.tensor("a", {8}, 0, zeros(32)).tensor("b", {8}, 0, zeros(200));
  EXPECT_THAT(error_of(b), AllOf(HasSubstr("tensor 'b'"), HasSubstr("multiples of 64, found 32")));
}

TEST(GgufCorrupt, BadTensors) {
  struct Case {
    std::vector<uint64_t> dims;
    uint32_t type;
    uint64_t offset;
    const char* message;
  };
  const uint64_t huge = uint64_t{1} << 63;
  const std::vector<Case> cases = {
      {{}, 0, 0, "1 to 4 dimensions, found 0"},
      {{1, 1, 1, 1, 1}, 0, 0, "1 to 4 dimensions, found 5"},
      {{huge}, 0, 0, "elements"},
      {{huge, 2}, 0, 0, "elements"},
      {{huge, 0}, 0, 0, "elements"},
      {{0, huge}, 0, 0, "elements"},
      {{uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0, "elements"},
      {{uint64_t{1} << 16, uint64_t{1} << 16, uint64_t{1} << 16, uint64_t{1} << 16}, 0, 0, "elements"},
      {{~uint64_t{0}, ~uint64_t{0}}, 2, 0, "elements"},
      {{uint64_t{1} << 47}, 0, 0, "truncated"},
      {{33}, 2, 0, "multiples of 32 (Q4_0), found 33"},
      {{32, 8}, 12, 0, "multiples of 256 (Q4_K), found 32"},
      {{32}, 16, 0, "multiples of 256 (IQ2_XXS), found 32"},
      {{32}, 40, 0, "multiples of 64 (NVFP4), found 32"},
      {{32}, 9, 0, "tensor type 9 (Q8_1) is not supported"},
      {{32}, 4, 0, "tensor type 4 (Q4_2) is not supported"},
      {{32}, 4711, 0, "tensor type 4711 (unknown"},
      {{32}, 0xffffffff, 0, "tensor type 4294967295 (unknown"},
      {{8}, 0, 1, "multiples of 32, found 1"},
      {{8}, 0, 4096, "truncated"},
      {{8}, 0, ~uint64_t{31}, "truncated"},
      {{8}, 0, huge, "truncated"},
      {{1024}, 0, 0, "truncated"},
  };
  for (const Case& c : cases) {
    GgufBuilder b;
    b.info("w.x", c.dims, c.type, c.offset);
    b.data = zeros(1024);
    EXPECT_THAT(error_of(b), AllOf(HasSubstr("tensor 'w.x'"), HasSubstr(c.message)));
  }
}

TEST(GgufCorrupt, NamesAndOverlaps) {
  GgufBuilder twice;
  twice.tensor("a", {8}, 0, zeros(32)).tensor("b", {8}, 0, zeros(32)).tensor("a", {8}, 0, zeros(32));
  EXPECT_THAT(error_of(twice), HasSubstr("tensor 'a': expected once, found twice"));
  EXPECT_THAT(error_of(GgufBuilder().tensor("", {8}, 0, zeros(32))), HasSubstr("expected a name in UTF-8"));
  EXPECT_THAT(error_of(GgufBuilder().tensor("\xc0\x80", {8}, 0, zeros(32))), HasSubstr("expected a name in UTF-8"));
  EXPECT_THAT(error_of(GgufBuilder().tensor("new\nline", {9}, 2, zeros(32))), HasSubstr("'new?line'"));

  GgufBuilder overlap;
  overlap.info("a", {16}, 0, 32).info("b", {16}, 0, 0).info("c", {8}, 0, 96);
  overlap.data = zeros(128);
  EXPECT_THAT(error_of(overlap), AllOf(HasSubstr("tensor 'a'"), HasSubstr("the end of tensor 'b'")));
  GgufBuilder any_order;  // gaps and any order are fine
  any_order.info("a", {8}, 0, 96).info("b", {8}, 0, 0);
  any_order.data = zeros(128);
  EXPECT_EQ(error_of(any_order), "");
}

TEST(GgufCorrupt, NotAFile) {
  EXPECT_THROW(open_gguf("/nonexistent/model.gguf"), Error);
  const TempFolder folder;
  EXPECT_THROW(open_gguf(folder.path()), Error);
}

TEST(GgufCorrupt, RandomDamageThrowsOrReads) {
  const TempFolder folder;
  const Bytes good = sample().bytes();
  size_t opened = 0;
  size_t refused = 0;
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    Rng rng(seed);
    Bytes bytes = good;
    for (uint64_t n = 1 + rng.below(4); n > 0; --n) {
      uint8_t& b = bytes[rng.below(bytes.size())];
      b = rng.below(2) == 0 ? static_cast<uint8_t>(b ^ (1 << rng.below(8))) : static_cast<uint8_t>(rng.next());
    }
    write_test_file(folder / "a.gguf", bytes);
    try {
      const GgufFile file(folder / "a.gguf");
      for (size_t i = 0; i < file.tensors().size(); ++i) {
        std::vector<float> values(file.tensors()[i].elements());
        file.read_f32(i, 0, values.size(), values.data());
      }
      const std::string json = gguf_metadata_json(file.metadata());
      EXPECT_EQ(gguf_metadata_json(parse_gguf_metadata_json(json, "json")), json) << seed;
      ++opened;
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(opened, 100u);
  EXPECT_GT(refused, 100u);
}

}  // namespace
}  // namespace occ
