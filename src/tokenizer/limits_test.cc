// Tokenizers that would take all time or memory are refused, with an error that names the file and the limit.
#include "tokenizer/limits.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "occ/error.h"
#include "tokenizer/regex.h"
#include "tokenizer/tokenizer.h"

namespace occ {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

// The error that making a tokenizer of `changes` and encoding `text` ends with; "" for none. Characters have ids.
std::string error_of(const json& changes, const std::string& text = "") {
  json j = {{"model", {{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 1}}}, {"merges", json::array()}}}};
  j.merge_patch(changes);
  const std::string dump = j.dump();
  try {
    make_tokenizer({{"tokenizer.json", Bytes(dump.begin(), dump.end())}}, "model")->encode(text);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    EXPECT_THAT(e.what(), HasSubstr("model/tokenizer.json"));
    return e.what();
  }
  return "";
}

json sequence(const char* key, size_t count, const json& step) {
  return {{"type", "Sequence"}, {key, std::vector<json>(count, step)}};
}

const json kBytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
const json kDoubling = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}};

TEST(TokenizerLimits, StepsThatDoubleAText) {
  const auto too_long = AllOf(HasSubstr("expected steps that make at most "), HasSubstr(" bytes of a text of "));
  // Each maps the bytes of a character that is not ASCII to two characters of two bytes.
  EXPECT_THAT(error_of({{"normalizer", sequence("normalizers", 24, kBytes)}}, "\u00e9"), too_long);
  EXPECT_THAT(error_of({{"pre_tokenizer", sequence("pretokenizers", 24, kBytes)}}, "\u00e9"), too_long);
  EXPECT_EQ(error_of({{"pre_tokenizer", sequence("pretokenizers", 24, kBytes)}}, "ab"), "");
  EXPECT_THAT(error_of({{"normalizer", sequence("normalizers", 30, kDoubling)}}, "a"), too_long);
  // While the file is read: texts of tokens, and of added tokens.
  EXPECT_THAT(error_of({{"decoder", sequence("decoders", 30, kDoubling)}}), too_long);
  EXPECT_THAT(error_of({{"normalizer", sequence("normalizers", 30, kDoubling)},
                        {"added_tokens", {{{"id", 2}, {"content", "ab"}, {"normalized", true}}}}}),
              too_long);
}

// Parts between added tokens are short, but many.
TEST(TokenizerLimits, CountAllPartsOfAText) {
  json prepend = {{"normalizer", {{"type", "Prepend"}, {"prepend", std::string(kMaxInsertedBytes, 'a')}}},
                  {"added_tokens", {{{"id", 2}, {"content", "x"}, {"special", true}}}}};
  std::string text;
  for (int i = 0; i < 50; ++i) text += "ax";
  EXPECT_EQ(error_of(prepend, text), "");
  for (int i = 0; i < 2000; ++i) text += "ax";
  EXPECT_THAT(error_of(prepend, text), HasSubstr("expected steps that make at most "));
}

TEST(TokenizerLimits, NumberOfSteps) {
  const auto too_many = HasSubstr("expected at most 64 steps");
  const json lower = {{"type", "Lowercase"}}, digits = {{"type", "Digits"}};
  const json space = {{"type", "Replace"}, {"pattern", {{"String", "_"}}}, {"content", " "}};
  EXPECT_EQ(error_of({{"normalizer", sequence("normalizers", 64, lower)}}), "");
  EXPECT_THAT(error_of({{"normalizer", sequence("normalizers", 65, lower)}}), too_many);
  EXPECT_THAT(error_of({{"pre_tokenizer", sequence("pretokenizers", 65, digits)}}), too_many);
  EXPECT_THAT(error_of({{"decoder", sequence("decoders", 65, space)}}), too_many);
  json deep = lower;
  for (int i = 0; i < 40; ++i) deep = sequence("normalizers", 1, deep);
  EXPECT_THAT(error_of({{"normalizer", deep}}), HasSubstr("levels of JSON"));
}

TEST(TokenizerLimits, WhatAStepPutsIn) {
  const std::string text(kMaxInsertedBytes + 1, 'x');
  const auto too_long = HasSubstr("expected at most 64 bytes");
  EXPECT_THAT(error_of({{"normalizer", {{"type", "Prepend"}, {"prepend", text}}}}), too_long);
  json replace = kDoubling;
  replace["content"] = text;
  EXPECT_THAT(error_of({{"normalizer", replace}}), too_long);
  EXPECT_THAT(error_of({{"decoder", replace}}), too_long);
  EXPECT_THAT(error_of({{"pre_tokenizer", {{"type", "Metaspace"}, {"replacement", text}}}}), too_long);
}

TEST(TokenizerLimits, TokensAroundAText) {
  const auto with = [](size_t parts) {
    const json single(std::vector<json>(parts, {{"SpecialToken", {{"id", "x"}}}}));
    json processor = {{"type", "TemplateProcessing"},
                      {"single", single},
                      {"special_tokens", {{"x", {{"ids", std::vector<int>(32, 0)}}}}}};
    processor["single"].push_back({{"Sequence", json{{"id", "A"}}}});
    return error_of({{"post_processor", processor}});
  };
  EXPECT_EQ(with(32), "");
  EXPECT_THAT(with(33), HasSubstr("expected at most 1024 tokens around a text"));
}

TEST(TokenizerLimits, WordsOfWordPiece) {
  const json model = {{"type", "WordPiece"}, {"unk_token", "a"}, {"max_input_chars_per_word", kMaxWordPieceChars + 1}};
  EXPECT_THAT(error_of({{"model", model}}), HasSubstr("max_input_chars_per_word: expected a whole number from 0 to"));
}

// Steps are counted over all matches in a text. What real patterns do with long runs is far below the limit.
TEST(TokenizerLimits, StepsOfPatterns) {
  std::string words;
  for (int i = 0; i < 300; ++i) words += std::string(18, 'a') + "!";
  EXPECT_THROW(Regex("(a|a)+$|!", "test").matches(words), Error);
  std::string runs;
  for (int i = 0; i < 30; ++i) runs.append(30'000, ' ').append("x");
  EXPECT_EQ(Regex(R"(\s*[\r\n]+|\s+(?!\S)|\s+|x)", "test").matches(runs).size(), 90u);
}

}  // namespace
}  // namespace occ
