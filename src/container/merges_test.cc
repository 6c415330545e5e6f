#include "container/merges.h"

#include <gtest/gtest.h>

#include "io/expect_error_for_test.h"

namespace occ {
namespace {

// Tokens: letters, a special token, and then the results of merges in their order. No merge makes the last token.
constexpr const char* kTokens[] = {"<|end|>", "a", "b", "\\\"", "é", "ab", "abé", "aba", "\\\"a", "abab", "x b"};
constexpr const char* kMerges[][2] = {{"a", "b"}, {"ab", "é"}, {"ab", "a"}, {"\\\"", "a"}, {"ab", "ab"}};

std::string join(const std::vector<std::string>& parts, const std::string& between) {
  std::string out;
  for (const std::string& p : parts) out += (out.empty() ? "" : between) + p;
  return out;
}

std::string gguf_text() {
  std::vector<std::string> tokens, merges;
  for (const char* t : kTokens) tokens.push_back("\"" + std::string(t) + "\"");
  for (const auto& m : kMerges) merges.push_back("\"" + std::string(m[0]) + " " + m[1] + "\"");
  return R"({"metadata": [{"key": "tokenizer.ggml.tokens", "type": "array", "items": "string", "value": [)" +
         join(tokens, ", ") + R"(]},{"key": "tokenizer.ggml.merges", "type": "array", "items": "string", "value": [)" +
         join(merges, ", ") + "]}]}";
}

std::string hf_text(bool as_pairs, const std::string& more = "") {
  std::vector<std::string> tokens, merges;
  size_t id = 0;
  for (const char* t : kTokens) tokens.push_back("\"" + std::string(t) + "\": " + std::to_string(id++));
  for (const auto& m : kMerges) {
    merges.push_back(as_pairs ? "[\n        \"" + std::string(m[0]) + "\",\n        \"" + m[1] + "\"\n      ]"
                              : "\"" + std::string(m[0]) + " " + m[1] + "\"");
  }
  return "{\n  \"model\": {\n    \"type\": \"BPE\",\n    \"vocab\": {" + join(tokens, ",") +
         "},\n    \"merges\": [\n      " + join(merges, ",\n      ") + "\n    ]" + more + "\n  }\n}\n";
}

TEST(Merges, AreTakenOutAndComeBackByteForByte) {
  for (const std::string& text : {gguf_text(), hf_text(false), hf_text(true)}) {
    std::string shortened = text;
    const auto merges = take_merges(&shortened);
    ASSERT_TRUE(merges.has_value()) << text;
    EXPECT_EQ(merges->count, std::size(kMerges));
    EXPECT_TRUE(merges->others.empty());
    EXPECT_EQ(shortened.find("ab ab"), std::string::npos);
    EXPECT_EQ(with_merges(shortened, *merges, text.size(), "t"), text);
    EXPECT_INPUT_ERROR(with_merges(shortened, *merges, text.size() - 1, "t"), "t: expected at most");
    MergesText more = *merges;
    more.count = 50;
    EXPECT_INPUT_ERROR(with_merges(shortened, more, 1000, "t"), "t: expected 50 merges, its vocabulary gives 5");
    more.at = 5000;
    EXPECT_INPUT_ERROR(with_merges(shortened, more, 1000, "t"), "t: expected merges at a byte");
  }
}

// A merge that is not the derived one, and one whose token is out of order. Both must be listed.
TEST(Merges, ExceptionsAreListed) {
  std::string text = hf_text(false);
  const std::string from = "\"ab a\"", to = "\"a ba\"";
  text.replace(text.find(from), from.size(), to);
  std::string shortened = text;
  const auto merges = take_merges(&shortened);
  ASSERT_TRUE(merges.has_value());
  ASSERT_EQ(merges->others.size(), 1u);
  EXPECT_EQ(merges->others[0], (MergesText::Other{2, "a", "ba"}));
  EXPECT_EQ(with_merges(shortened, *merges, text.size(), "t"), text);
}

TEST(Merges, WhatIsNoSuchTextStaysAsItIs) {
  for (std::string text : {std::string("{"), std::string("{}"), std::string("[1]"), std::string("{\"model\": {}}"),
                           std::string(R"({"model": {"vocab": {"a": 0}, "merges": []}})"),
                           std::string(R"({"model": {"vocab": {"a": 0}, "merges": [["a"]]}})"),
                           std::string(R"({"model": {"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b" , 7]}})"),
                           std::string(R"({"model": {"vocab": {"\u0061": 0, "b": 1}, "merges": ["\u0061 b"]}})")}) {
    const std::string before = text;
    EXPECT_FALSE(take_merges(&text).has_value()) << before;
    EXPECT_EQ(text, before);
  }
}

}  // namespace
}  // namespace occ
