// Tokenizers against what llama.cpp and the `tokenizers` package give.
#include "model/tokenizer.h"

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>
#include <sstream>

#include "base/hash.h"
#include "test_data.h"

namespace occ {
namespace {

std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// <vocabulary>.inp: texts between lines __ggml_vocab_test__; .out: their ids, a line each. Nothing is added to a text.
void expect_ids_of_file(const std::filesystem::path& path) {
  const auto tokenizer = open_tokenizer(path.string());
  const std::string input = read_text(path.string() + ".inp");
  std::istringstream output(read_text(path.string() + ".out"));
  const std::string separator = "\n__ggml_vocab_test__\n";
  size_t count = 0;
  for (size_t at = 0; at < input.size(); ++count) {
    const size_t end = std::min(input.find(separator, at), input.size());
    const std::string text = input.substr(at, end - at);
    at = end + separator.size();
    std::string line;
    ASSERT_TRUE(std::getline(output, line));
    std::istringstream numbers(line);
    const std::vector<TokenId> expected{std::istream_iterator<TokenId>(numbers), {}};
    for (const bool parse_special : {false, true}) {
      EXPECT_EQ(tokenizer->encode(text, {.add_special = false, .parse_special = parse_special}), expected) << text;
    }
    EXPECT_EQ(tokenizer->decode(expected), text);
  }
  std::string rest;
  EXPECT_FALSE(std::getline(output, rest)) << rest;
  EXPECT_GT(count, 40u);
}

TEST(Tokenizer, Gpt2OfGguf) {
  OCC_REQUIRE_DATA(path, "tokenizers/ggml-vocab-gpt-2.gguf");
  expect_ids_of_file(path);
}

TEST(Tokenizer, SentencePieceOfGguf) {
  OCC_REQUIRE_DATA(path, "tokenizers/ggml-vocab-llama-spm.gguf");
  expect_ids_of_file(path);
}

}  // namespace
}  // namespace occ
