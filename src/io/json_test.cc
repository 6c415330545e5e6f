#include "io/json.h"

#include <nlohmann/json.hpp>

#include "io/expect_error_for_test.h"

namespace occ {
namespace {

using nlohmann::json;

TEST(JsonTest, BuildsTheSameDocumentAsTheLibrary) {
  const char* text =
      R"( {"a": [1, -2, 3.5, true, null, "x", {"b": {}, "c": [[], [1]]}], "d": "é\u0001", "e": 18446744073709551615} )";
  EXPECT_EQ(parse_json(text, "t"), json::parse(text));
  for (const char* scalar : {"1", "\"s\"", "null", "[]", "{}", "-0.5e3"}) {
    EXPECT_EQ(parse_json(scalar, "t"), json::parse(scalar)) << scalar;
  }
}

TEST(JsonTest, DuplicateKeysAreRefusedAtAnyDepth) {
  EXPECT_INPUT_ERROR(parse_json(R"({"a":1,"b":2,"a":3})", "file.json"), "file.json: expected distinct keys, found 'a'");
  EXPECT_INPUT_ERROR(parse_json(R"([1,{"x":{"k":[{"z":1,"z":1}]}}])", "f"), "'z' twice");
  // The same key spelled with an escape is the same key; the same key in another object is not.
  EXPECT_INPUT_ERROR(parse_json(R"({"a":1,"\u0061":2})", "f"), "'a' twice");
  EXPECT_EQ(parse_json(R"({"a":{"a":[{"a":1},{"a":2}]}})", "f")["a"]["a"][1]["a"], 2);
}

TEST(JsonTest, DepthIsLimited) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parse_json(nested(kMaxJsonDepth), "f").is_array());
  EXPECT_INPUT_ERROR(parse_json(nested(kMaxJsonDepth + 1), "f"), "levels");
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += R"({"a":)";
  EXPECT_INPUT_ERROR(parse_json(objects, "f"), "levels");
}

TEST(JsonTest, ValuesAreLimited) {
  std::string text = "[";
  text.reserve(2 * kMaxJsonValues + 8);
  for (size_t i = 0; i <= kMaxJsonValues; ++i) text += "1,";
  EXPECT_INPUT_ERROR(parse_json(text, "f"), "values");
}

TEST(JsonTest, OnlyOneDocumentOfValidText) {
  for (const char* bad : {"",
                          " ",
                          "{",
                          "[1,]",
                          "{\"a\":}",
                          "{} {}",
                          "{}x",
                          "[1] 2",
                          "nul",
                          "NaN",
                          "[Infinity]",
                          "1e999",
                          "'a'",
                          "{a:1}",
                          "// c\n1",
                          "\"\x01\"",
                          "\"\xff\"",
                          "\"\xc0\x80\"",
                          "\"\xed\xa0\x80\"",
                          "\"\\ud800\"",
                          "[01]"}) {
    EXPECT_INPUT_ERROR(parse_json(bad, "some.json"), "some.json: not valid JSON");
  }
  // nlohmann-json takes a NUL for the end of the text.
  EXPECT_INPUT_ERROR(parse_json(std::string_view("{}\0garbage", 10), "f"), "byte 2, found a NUL");
  EXPECT_INPUT_ERROR(parse_json(std::string_view("{}\0", 3), "f"), "NUL");
}

TEST(JsonTest, PrintableTextIsOneCleanLine) {
  EXPECT_EQ(printable("plain é ✓"), "plain é ✓");
  EXPECT_EQ(printable("a\nb\tc\x7f"), "a?b?c?");
  EXPECT_EQ(printable("\xff|\xc3|\xe2\x82"), "?|?|" + std::string(2, '?'));
  EXPECT_EQ(printable(std::string(300, 'x'), 10), "xxxxxxxxxx...");
}

}  // namespace
}  // namespace occ
