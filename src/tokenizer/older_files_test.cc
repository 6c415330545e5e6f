// Tokenizers of folders without tokenizer.json against sentencepiece and transformers
// (tests/expected/tokenizers/older/make.py), and vocabularies of GGUF that have no file of their own.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "io/expect_error_for_test.h"
#include "io/gguf_metadata.h"
#include "io/json.h"
#include "test_data.h"
#include "tokenizer/tokenizer_pipeline.h"

namespace occ {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kOlder = source_folder() / "tests/expected/tokenizers/older";

std::vector<SideFile> files_of(const fs::path& folder) {
  std::vector<SideFile> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    files.push_back({entry.path().filename().string(), read_file(entry.path())});
  }
  return files;
}

TEST(OlderTokenizers, SameAsThePackages) {
  const json expected = parse_json_file(kOlder / "expected.json");
  const auto texts = expected.at("texts").get<std::vector<std::string>>();
  for (const auto& [name, ids] : expected.at("ids").items()) {
    const auto tokenizer = make_tokenizer(files_of(kOlder / name), name);
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(tokenizer->encode(texts[i]), ids[i].get<std::vector<TokenId>>()) << name << " text " << i << texts[i];
    }
  }
}

TEST(OlderTokenizers, AddedTokensOfTheConfiguration) {
  std::vector<SideFile> files = files_of(kOlder / "bpe");
  const auto set = [&](const std::string& name, const std::string& text) {
    std::erase_if(files, [&](const SideFile& f) { return f.name == name; });
    files.push_back({name, Bytes(text.begin(), text.end())});
  };
  set("tokenizer_config.json", R"({"add_bos_token": false, "eos_token": "<|end|>", "added_tokens_decoder": {
      "700": {"content": "<|end|>", "special": true}, "702": {"content": "both", "special": false}}})");
  set("added_tokens.json", R"({"more": 701})");
  const auto tokenizer = make_tokenizer(files, "model");
  EXPECT_EQ(tokenizer->vocab_size(), 703u);
  EXPECT_EQ(tokenizer->encode("<|end|>bothmore"), (std::vector<TokenId>{700, 702, 701}));
  EXPECT_EQ(tokenizer->end_of_generation()[0], 700);
  set("added_tokens.json", R"({"more": 80000})");
  EXPECT_INPUT_ERROR(make_tokenizer(files, "model"), "added_tokens.json: $['more']: expected a whole number");
  set("added_tokens.json", "{}");
  set("tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "a"}}})");
  EXPECT_INPUT_ERROR(make_tokenizer(files, "model"), "['x']: expected the number of a token");
}

// A file that is cut or changed anywhere is refused or read, never anything else.
TEST(OlderTokenizers, DamagedModelsOfSentencePiece) {
  const Bytes whole = read_file(kOlder / "bpe_map/tokenizer.model");
  for (size_t i = 0; i < 400; ++i) {
    Bytes bytes = whole;
    if (i % 2 == 0) {
      bytes.resize(whole.size() * i / 400);
    } else {
      bytes[i * 7919 % bytes.size()] ^= static_cast<uint8_t>(1 + i);
    }
    try {
      const auto tokenizer = make_tokenizer({{"tokenizer.model", bytes}}, "model");
      tokenizer->decode(tokenizer->encode("The quick, brown fox\n123 ＡＢ"), true);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput);
    }
  }
  EXPECT_INPUT_ERROR(make_tokenizer({{"tokenizer.model", {'x', 'y'}}}, "model"),
                     "model/tokenizer.model: expected a model of SentencePiece");
  EXPECT_INPUT_ERROR(make_tokenizer({{"vocab.json", {'[', ']'}}, {"merges.txt", {}}}, "model"), "expected an object");
  EXPECT_INPUT_ERROR(make_tokenizer({{"vocab.txt", {'a', '\n'}}}, "model"), "expected '[CLS]', found none");
}

// Greedy, by bytes: what RWKV's own tokenizer does.
TEST(GgufVocabularies, RwkvTakesTheLongestToken) {
  GgufMetadata metadata;
  metadata.append("tokenizer.ggml.model", std::string("rwkv"));
  metadata.append("tokenizer.ggml.tokens", GgufArray{std::vector<std::string>{"<s>", "a", "ab", "abcd", "b", "c", "\\n",
                                                                              "\\xc3", "\\xa9", "\\'", "\\\\x"}});
  metadata.append("tokenizer.ggml.token_type", GgufArray{std::vector<int32_t>{3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}});
  const auto tokenizer = tokenizer_from_gguf(metadata, "model.gguf");
  EXPECT_EQ(tokenizer->encode("abcab\nabcd\u00e9'\\x"), (std::vector<TokenId>{2, 5, 2, 6, 3, 7, 8, 9, 10}));
  EXPECT_EQ(tokenizer->decode(std::vector<TokenId>{3, 7, 8, 10}), "abcd\u00e9\\x");
}

}  // namespace
}  // namespace occ
