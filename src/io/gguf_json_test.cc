#include "io/gguf_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "base/error.h"

namespace occ {
namespace {

using testing::HasSubstr;

GgufMetadata there_and_back(const GgufMetadata& metadata) {
  return parse_gguf_metadata_json(gguf_metadata_json(metadata), "gguf.json");
}

template <typename T>
bool same(const T& a, const T& b) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::memcmp(&a, &b, sizeof(T)) == 0;  // NaN payloads and the sign of zero count
  } else if constexpr (std::is_same_v<T, GgufArray>) {
    if (a.items.index() != b.items.index() || a.size() != b.size()) return false;
    return std::visit(
        [&]<typename V>(const V& items) {
          for (size_t i = 0; i < items.size(); ++i) {
            if (!same<typename V::value_type>(items[i], std::get<V>(b.items)[i])) return false;
          }
          return true;
        },
        a.items);
  } else {
    return a == b;
  }
}

bool same(const GgufValue& a, const GgufValue& b) {
  if (a.index() != b.index()) return false;
  return std::visit([&]<typename T>(const T& v) { return same<T>(v, std::get<T>(b)); }, a);
}

TEST(GgufJson, EveryTypeSurvives) {
  GgufMetadata m;
  const auto add = [&](GgufValue value) { m.append(fmt::format("key.{}", m.entries().size()), std::move(value)); };
  const auto add_integers = [&]<typename T>(std::type_identity<T>) {
    std::vector<T> values = {std::numeric_limits<T>::min(), 0, 1, 42, std::numeric_limits<T>::max()};
    for (const T v : values) add(v);
    add(GgufArray{values});
  };
  add_integers(std::type_identity<uint8_t>{});
  add_integers(std::type_identity<int8_t>{});
  add_integers(std::type_identity<uint16_t>{});
  add_integers(std::type_identity<int16_t>{});
  add_integers(std::type_identity<uint32_t>{});
  add_integers(std::type_identity<int32_t>{});
  add_integers(std::type_identity<uint64_t>{});
  add_integers(std::type_identity<int64_t>{});
  const auto add_floats = [&]<typename T>(std::type_identity<T>) {
    using L = std::numeric_limits<T>;
    std::vector<T> values = {0,
                             T(-0.0),
                             1,
                             T(0.1),
                             T(-1e-5),
                             T(1e20),
                             T(123456),
                             L::min(),
                             L::max(),
                             L::lowest(),
                             L::denorm_min(),
                             L::epsilon(),
                             L::infinity(),
                             -L::infinity(),
                             L::quiet_NaN(),
                             -L::quiet_NaN()};
    for (const T v : values) add(v);
    add(GgufArray{values});
  };
  add_floats(std::type_identity<float>{});
  add_floats(std::type_identity<double>{});
  add(std::bit_cast<float>(0x7f812345u));  // a signalling NaN with a payload
  add(std::bit_cast<double>(0xfff0000000000001u));
  add(true);
  add(false);
  add(GgufArray{std::vector<bool>{true, false, true}});
  std::string all_bytes;
  for (int i = 0; i < 256; ++i) all_bytes += static_cast<char>(i);
  const std::vector<std::string> texts = {"",
                                          "plain",
                                          "quote \" backslash \\ / \b\f\n\r\t \x01 \x7f",
                                          std::string("a\0b", 3),
                                          "\u00e9\u20ac\U0001f600",
                                          "\xff",
                                          "\xc3(",
                                          "\xed\xa0\x80",
                                          "\xc0\x80",
                                          "\xf4\x90\x80\x80",
                                          "cut \xe2\x82",
                                          all_bytes};
  for (const std::string& t : texts) add(t);
  add(GgufArray{texts});
  add(GgufArray{std::vector<int32_t>{}});
  add(GgufArray{std::vector<std::string>{}});
  add(GgufArray{std::vector<GgufArray>{}});
  add(GgufArray{std::vector<GgufArray>{{std::vector<float>{1.5f}},
                                       {std::vector<std::string>{"x", "\xfe"}},
                                       {std::vector<GgufArray>{{std::vector<bool>{true}}}}}});
  m.append("\u00e9 \"key\"\n", uint8_t{1});

  const GgufMetadata back = there_and_back(m);
  ASSERT_EQ(back.entries().size(), m.entries().size());
  for (size_t i = 0; i < m.entries().size(); ++i) {
    EXPECT_EQ(back.entries()[i].key, m.entries()[i].key);
    EXPECT_TRUE(same(back.entries()[i].value, m.entries()[i].value)) << m.entries()[i].key;
  }
}

TEST(GgufJson, RandomFloatsSurvive) {
  std::vector<float> singles;
  std::vector<double> doubles;
  uint64_t state = 1;
  for (int i = 0; i < 50000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    singles.push_back(std::bit_cast<float>(static_cast<uint32_t>(state >> 32)));
    doubles.push_back(std::bit_cast<double>(state));
  }
  GgufMetadata m;
  m.append("f32", GgufArray{singles});
  m.append("f64", GgufArray{doubles});
  const GgufMetadata back = there_and_back(m);
  EXPECT_TRUE(same(*back.find("f32"), *m.find("f32")));
  EXPECT_TRUE(same(*back.find("f64"), *m.find("f64")));
}

TEST(GgufJson, IsReadable) {
  GgufMetadata m;
  EXPECT_EQ(gguf_metadata_json(m), "{\"metadata\": []}\n");
  m.append("general.architecture", std::string("llama"));
  m.append("eps", 0.5f);
  m.append("ids", GgufArray{std::vector<int32_t>{1, -2}});
  EXPECT_EQ(gguf_metadata_json(m),
            "{\"metadata\": [\n"
            "{\"key\": \"general.architecture\", \"type\": \"string\", \"value\": \"llama\"},\n"
            "{\"key\": \"eps\", \"type\": \"f32\", \"value\": 0.5},\n"
            "{\"key\": \"ids\", \"type\": \"array\", \"items\": \"i32\", \"value\": [1, -2]}]}\n");
}

TEST(GgufJson, LargeVocabularies) {
  std::vector<std::string> tokens;
  for (int i = 0; i < 300000; ++i) tokens.push_back(fmt::format("token{}", i));
  GgufMetadata m;
  m.append("tokens", GgufArray{tokens});
  EXPECT_EQ(*there_and_back(m).items<std::string>("tokens"), tokens);
}

std::string error_of(const std::string& text) {
  try {
    parse_gguf_metadata_json(text, "gguf.json");
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    EXPECT_THAT(e.what(), HasSubstr("gguf.json"));
    return e.what();
  }
  return "";
}
std::string entry(const std::string& rest) { return "{\"metadata\": [{\"key\": \"the.key\", " + rest + "}]}"; }

TEST(GgufJson, RefusesEverythingElse) {
  EXPECT_EQ(error_of(entry(R"("type": "u8", "value": 255)")), "");
  for (const char* bad :
       {"", "{", "[]", "3", "null", "{}", R"({"metadata": 3})", R"({"metadata": {}})", R"({"metadata": [], "more": 1})",
        R"({"metadata": [3]})", R"({"metadata": [{}]})", R"({"metadata": [{"key": 3, "type": "u8", "value": 1}]})",
        R"({"metadata": [{"key": "", "type": "u8", "value": 1}]})"}) {
    EXPECT_NE(error_of(bad), "") << bad;
  }
  for (const char* bad : {R"("type": "u8")",
                          R"("value": 1)",
                          R"("type": 4, "value": 1)",
                          R"("type": "u128", "value": 1)",
                          R"("type": "u8", "value": 256)",
                          R"("type": "u8", "value": -1)",
                          R"("type": "u8", "value": 1.0)",
                          R"("type": "i8", "value": 128)",
                          R"("type": "i8", "value": -129)",
                          R"("type": "u8", "value": "1")",
                          R"("type": "u64", "value": 18446744073709551616)",
                          R"("type": "i64", "value": -9223372036854775809)",
                          R"("type": "u8", "value": 1, "items": "u8")",
                          R"("type": "bool", "value": 1)",
                          R"("type": "f32", "value": 0.1)",
                          R"("type": "f32", "value": 1e300)",
                          R"("type": "f32", "value": "1")",
                          R"("type": "f32", "value": null)",
                          R"("type": "f32", "value": {"bits": "7fc0000"})",
                          R"("type": "f32", "value": {"bits": "7fc00000x"})",
                          R"("type": "f32", "value": {"bits": "-fc00000"})",
                          R"("type": "f32", "value": {"bits": "0x7fc000"})",
                          R"("type": "f32", "value": {"bits": "7fc000000"})",
                          R"("type": "f64", "value": {"bits": "7fc00000"})",
                          R"("type": "f32", "value": {"hex": "7fc00000"})",
                          R"("type": "f32", "value": {"bits": 3})",
                          R"("type": "string", "value": 1)",
                          R"("type": "string", "value": {"hex": "abc"})",
                          R"("type": "string", "value": {"hex": "zz"})",
                          R"("type": "string", "value": {"hex": "+1"})",
                          R"("type": "string", "value": {"hex": "ab", "x": 1})",
                          R"("type": "string", "value": ["a"])",
                          R"("type": "array", "value": [1])",
                          R"("type": "array", "items": "u8", "value": 1)",
                          R"("type": "array", "items": "u8", "value": [1, 300])",
                          R"("type": "array", "items": "array", "value": [[1]])",
                          R"("type": "array", "items": "array", "value": [{"items": "u8", "value": [], "x": 1}])"}) {
    EXPECT_THAT(error_of(entry(bad)), HasSubstr("the.key")) << bad;
  }
  EXPECT_THAT(
      error_of(R"({"metadata": [{"key": "k", "type": "u8", "value": 1}, {"key": "k", "type": "u8", "value": 1}]})"),
      HasSubstr("'k': expected once, found twice"));
  std::string deep = R"({"items": "u8", "value": []})";
  for (int i = 0; i < 4; ++i) deep = R"({"items": "array", "value": [)" + deep + "]}";
  EXPECT_THAT(error_of(entry(R"("type": "array", "items": "array", "value": [)" + deep + "]")), HasSubstr("nested"));
}

TEST(GgufJson, Utf8) {
  for (const char* good : {"", "abc", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(is_valid_utf8(good)) << good;
  }
  for (const char* bad :
       {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2z", "\xe0\x9f\xbf", "\xe0\xa0", "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "ok\xfe"}) {
    EXPECT_FALSE(is_valid_utf8(bad)) << bad;
  }
}

}  // namespace
}  // namespace occ
