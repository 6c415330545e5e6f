// Steps before the model: characters, normal forms, patterns, splits, added tokens.
#include "tokenizer/pretokenizer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "base/hash.h"
#include "base/rng.h"
#include "io/json.h"
#include "occ/error.h"
#include "test_data.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/gguf_patterns.h"
#include "tokenizer/unicode.h"
#include "tokenizer/unicode_normalization.h"

namespace occ {
namespace {

using ::testing::ElementsAre;
using Texts = std::vector<std::string>;

TEST(Unicode, Utf8) {
  for (uint32_t c = 1; c < 0x110000; c += c < 0x3000 ? 1 : 97) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(c, text);
    EXPECT_EQ(replace_invalid_utf8(text), text);
    EXPECT_EQ(utf8_length(text[0]), text.size());
    size_t at = 0;
    EXPECT_EQ(next_char(text, at), c);
    EXPECT_EQ(at, text.size());
    // Without its last byte it is one maximal part, or as many as there are.
    if (c >= 0x80) {
      EXPECT_EQ(replace_invalid_utf8(text.substr(0, text.size() - 1) + "x"), "\uFFFDx");
    }
  }
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(replace_invalid_utf8("\xF4\x90\x80\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(replace_invalid_utf8("\xE2\x82\xC3\xA9\xC0\x80"), "\uFFFD\u00e9\uFFFD\uFFFD");
}

// Every character, with marks around it, against the `tokenizers` package.
TEST(Unicode, NormalizersSameAsPackage) {
  const nlohmann::json expected =
      parse_json_file(source_folder() / "tests/expected/tokenizers/expected.json").at("unicode");
  const auto bert = [](std::string_view text) { return bert_normalize(text, {}); };
  const std::vector<std::pair<std::string, std::function<std::string(std::string_view)>>> kinds = {
      {"nfc", to_nfc}, {"nfd", to_nfd}, {"lower", to_lower}, {"strip_marks", strip_marks}, {"bert", bert}};
  for (const auto& [name, normalize] : kinds) {
    std::string whole;
    for (uint32_t c = 0; c < 0x110000; ++c) {
      if (c >= 0xD800 && c < 0xE000) continue;
      std::string text = "a\u0301";
      append_utf8(c, text);
      whole += normalize(text + "\u0323") + "\n";
    }
    EXPECT_EQ(hash_hex(hash64(whole)), expected.at(name)) << name;
  }
  std::string marked;
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c < 0xD800 || c >= 0xE000) marked.push_back(is_punctuation(c) ? '\1' : '\0');
  }
  EXPECT_EQ(hash_hex(hash64(marked)), expected.at("punctuation"));
}

TEST(Unicode, NormalForms) {
  Rng rng(4);
  const uint32_t pool[] = {'a',    'e',    0xE9,   0x300, 0x301,  0x323,  0x1112, 0x1161,
                           0x11AB, 0xD55C, 0x212B, 0x958, 0x3099, 0x304B, 0x1E9B};
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (uint64_t k = rng.below(8); k > 0; --k) append_utf8(pool[rng.below(std::size(pool))], text);
    const std::string nfc = to_nfc(text), nfd = to_nfd(text);
    EXPECT_EQ(to_nfc(nfc), nfc);
    EXPECT_EQ(to_nfd(nfd), nfd);
    EXPECT_EQ(to_nfc(nfd), nfc);
    EXPECT_EQ(to_nfd(nfc), nfd);
    EXPECT_LE(nfc.size(), nfd.size() + text.size());
  }
  EXPECT_EQ(to_nfc("e\u0301 \u1112\u1161\u11ab"), "\u00e9 \ud55c");
}

// As the `tokenizers` package: spaces and characters that it does not know go with what stands before them.
TEST(PreTokenizers, UnicodeScripts) {
  const auto cut = [](const std::string& text) {
    Pieces pieces;
    pieces.text = text;
    pieces.ranges = {{0, text.size()}};
    split_scripts()(pieces);
    Texts out;
    for (const Pieces::Range& r : pieces.ranges) out.emplace_back(pieces.piece(r));
    return out;
  };
  EXPECT_THAT(cut("a b \u4e2d \u56fd \u30fc \u30ab1. x"),
              ElementsAre("a b ", "\u4e2d \u56fd \u30fc \u30ab", "1. ", "x"));
  EXPECT_THAT(cut(" \u4e2da"), ElementsAre("\u4e2d", "a"));
  EXPECT_THAT(cut("a \u0378\u4e2d"), ElementsAre("a \u0378", "\u4e2d"));
  EXPECT_THAT(cut("\u0378a"), ElementsAre("a"));
  EXPECT_TRUE(cut("  ").empty());
}

Texts found(const std::string& pattern, const std::string& text) {
  Texts out;
  for (const auto& [begin, end] : Regex(pattern, "test").matches(text)) out.push_back(text.substr(begin, end - begin));
  return out;
}

TEST(Regex, MeansWhatOnigurumaMeans) {
  EXPECT_THAT(found(R"(\s+)", "a \u00a0b\u180e\u3000\u0085c"), ElementsAre(" \u00a0", "\u3000\u0085"));
  EXPECT_THAT(found(R"([^\s\p{L}]+)", "a\u00a0!\u180e b"), ElementsAre("!\u180e"));
  EXPECT_THAT(found(R"(\S+)", "a b\u2003c"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(found(R"(\w+)", "e\u0301_x\u203f-y"), ElementsAre("e\u0301_x\u203f", "y"));
  EXPECT_THAT(found(R"(^a$)", "a\nb\na"), ElementsAre("a", "a"));
  EXPECT_THAT(found(R"([]a]+)", "x]ab"), ElementsAre("]a"));
  EXPECT_THAT(found(R"((?i:'S))", "'s'S'\u017f"), ElementsAre("'s", "'S", "'\u017f"));
  EXPECT_THAT(found(R"(\p{Han}+)", "a\u4e2d\u56fd\u3002"), ElementsAre("\u4e2d\u56fd"));
  EXPECT_THAT(found(R"(\d)", "1\u0663\u00b2"), ElementsAre("1", "\u0663"));
  EXPECT_THAT(found("x*", "axxb"), ElementsAre("", "xx", "", ""));
  for (const char* refused : {"(a", "[a&&b]", R"(\h)", "(?m)a", "(?x:a)", "[a[b]]", "a{2,1}", R"(\p{Nosuch})"}) {
    EXPECT_THROW(Regex(refused, "test"), Error) << refused;
  }
}

// The names that the error lists: every pattern compiles, and cuts a text without losing any of it.
TEST(GgufPatterns, AllCut) {
  std::string known;
  try {
    gguf_pattern("nosuch", "test");
  } catch (const Error& e) {
    known = e.what();
  }
  std::istringstream names(known.substr(known.find("one of") + 7));
  size_t count = 0;
  for (std::string name; std::getline(names, name, ' ') && !name.ends_with(','); ++count) {
    const std::string text = "I'm  A9 HTML\u00e9s\r\n\n 12345,\u4e2d\u56fd!!/\n\t x";
    std::string joined;
    for (const std::string_view pattern : gguf_pattern(name, "test").patterns) {
      size_t done = 0;
      for (const auto& [begin, end] : Regex(pattern, name).matches(text)) {
        EXPECT_TRUE(begin < end || name == "superbpe") << name;  // which looks for places between digits
        EXPECT_LE(done, begin) << name;
        done = end;
      }
      joined += pattern;
    }
    EXPECT_FALSE(joined.empty()) << name;
  }
  EXPECT_GT(count, 50u);
  const std::string qwen2 =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  EXPECT_EQ(gguf_pattern("qwen2", "test").patterns[0], qwen2);
  const std::string gpt4o =
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
      R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
      R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  EXPECT_EQ(gguf_pattern("gpt-4o", "test").patterns[0], gpt4o);
}

TEST(Regex, TooManyStepsAreAnError) {
  EXPECT_THROW(Regex("(a|a)+$", "test").matches(std::string(60, 'a') + "b"), Error);
}

Texts pieces_of(const std::string& text, const std::vector<PreTokenizer>& steps) {
  Pieces pieces;
  pieces.text = text;
  pieces.ranges = {{0, text.size()}};
  for (const auto& step : steps) step(pieces);
  Texts out;
  for (const auto& range : pieces.ranges) out.emplace_back(pieces.piece(range));
  return out;
}

TEST(PreTokenizer, SplitBehaviors) {
  const auto split = [](SplitBehavior behavior, bool invert = false) {
    return pieces_of("the-final--countdown", {split_pieces(match_string("-"), behavior, invert)});
  };
  EXPECT_THAT(split(SplitBehavior::kRemoved), ElementsAre("the", "final", "countdown"));
  EXPECT_THAT(split(SplitBehavior::kIsolated), ElementsAre("the", "-", "final", "-", "-", "countdown"));
  EXPECT_THAT(split(SplitBehavior::kMergedWithPrevious), ElementsAre("the-", "final-", "-", "countdown"));
  EXPECT_THAT(split(SplitBehavior::kMergedWithNext), ElementsAre("the", "-final", "-", "-countdown"));
  EXPECT_THAT(split(SplitBehavior::kContiguous), ElementsAre("the", "-", "final", "--", "countdown"));
  EXPECT_THAT(split(SplitBehavior::kRemoved, true), ElementsAre("-", "-", "-"));
}

TEST(PreTokenizer, Steps) {
  EXPECT_THAT(pieces_of("a b", {metaspace("_", PrependScheme::kFirst, true)}), ElementsAre("_a", "_b"));
  EXPECT_THAT(pieces_of("a_", {metaspace("_", PrependScheme::kNever, false)}), ElementsAre("a_"));
  EXPECT_THAT(pieces_of("a\u2581\u2581b\u2581", {cut_before_metaspace()}), ElementsAre("a", "\u2581\u2581b", "\u2581"));
  EXPECT_THAT(pieces_of(" \n\u00e9", {byte_level()}), ElementsAre("\u0120\u010a\u00c3\u00a9"));
  std::string bytes, back;
  for (int b = 0; b < 256; ++b) bytes.push_back(static_cast<char>(b));
  EXPECT_TRUE(chars_to_bytes(bytes_to_chars(bytes), back));
  EXPECT_EQ(back, bytes);
  EXPECT_FALSE(chars_to_bytes("\u2581", back));
  EXPECT_EQ(replace_all("aaa", "aa", "b"), "ba");
  EXPECT_EQ(replace_all("abc", "", "x"), "abc");
}

std::string marked(const AddedTokens& tokens, const std::string& text, bool parse_special = true) {
  std::string out;
  for (const auto& part : tokens.split(text, parse_special)) {
    out += part.id < 0 ? text.substr(part.begin, part.end - part.begin) : fmt::format("{{{}}}", part.id);
  }
  return out;
}

TEST(AddedTokens, LongestAtTheLeftmostPlace) {
  AddedTokens tokens;
  tokens.add({1, "ab", false});
  tokens.add({2, "abcd", true});
  tokens.add({3, "cd", false});
  EXPECT_EQ(marked(tokens, "xabcdab"), "x{2}{1}");
  EXPECT_EQ(marked(tokens, "xabcdab", false), "xabcd{1}");
  EXPECT_EQ(marked(tokens, "abcx"), "{1}cx");
  EXPECT_EQ(marked(tokens, ""), "");
}

TEST(AddedTokens, WhatTheyTakeWithThem) {
  AddedTokens tokens;
  tokens.add({.id = 1, .content = "<l>", .lstrip = true});
  tokens.add({.id = 2, .content = "<r>", .rstrip = true});
  tokens.add({.id = 3, .content = "w", .single_word = true});
  EXPECT_EQ(marked(tokens, "a \n<l> b"), "a{1} b");
  EXPECT_EQ(marked(tokens, "a <r> \u3000b<r>"), "a {2}b{2}");
  EXPECT_EQ(marked(tokens, "<r>  <l>"), "{2}{1}");
  EXPECT_EQ(marked(tokens, "w (w) aw w\u00e9 w"), "{3} ({3}) aw w\u00e9 {3}");
}

}  // namespace
}  // namespace occ
