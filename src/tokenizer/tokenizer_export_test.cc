#include "tokenizer/tokenizer_export.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "io/expect_error_for_test.h"
#include "io/gguf.h"
#include "io/json.h"
#include "test_data.h"
#include "tokenizer/side_file_for_test.h"
#include "tokenizer/tokenizer_pipeline.h"

namespace occ {
namespace {

namespace fs = std::filesystem;

std::vector<SideFile> folder_files(const fs::path& folder) {
  std::vector<SideFile> files;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"}) {
    if (fs::exists(folder / name)) files.push_back(side_file_for_test(name, read_text_for_test(folder / name)));
  }
  return files;
}

const std::string& prose() {
  static const std::string text = read_text_for_test(test_data_folder() / "text/wiki.valid.raw").substr(0, 100'000);
  return text;
}

// A text with what tokenizers differ in.
const std::string& hostile() {
  static const std::string text = [] {
    std::string out;
    const auto values = parse_json_file(source_folder() / "tests/expected/tokenizers/expected.json");
    for (const auto& hex : values.at("texts")) {
      const std::string digits = hex;
      for (size_t i = 0; i < digits.size(); i += 2) {
        const char c = static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
        if ((c & 0x80) == 0) out += c;  // GGUF knows no normalization of composed characters
      }
      out += '\n';
    }
    return out + prose();
  }();
  return text;
}

void expect_same(const Tokenizer& a, const Tokenizer& b, const std::string& text = hostile()) {
  for (const bool special : {false, true}) {
    const EncodeOptions options{.add_special = special, .parse_special = special};
    EXPECT_EQ(a.encode(text, options), b.encode(text, options));
  }
  const std::vector<TokenId> ids = a.encode(text, {.add_special = false});
  EXPECT_EQ(a.decode(ids), b.decode(ids));
  EXPECT_EQ(a.bos(), b.bos());
  EXPECT_EQ(a.adds_bos(), b.adds_bos());
  EXPECT_EQ(a.chat_template(), b.chat_template());
}

// The files as GGUF metadata and back: three tokenizers that must agree.
void expect_round_trip(const std::vector<SideFile>& files, const std::string& text = hostile()) {
  const auto source = make_tokenizer(files, "source");
  GgufMetadata metadata;
  add_gguf_tokenizer(files, "source", source->vocab_size() + 3, &metadata);
  EXPECT_EQ(metadata.items<std::string>("tokenizer.ggml.tokens")->size(), source->vocab_size() + 3);
  const auto gguf = tokenizer_from_gguf(metadata, "gguf");
  expect_same(*source, *gguf, text);
  expect_same(*gguf, *make_tokenizer(hf_tokenizer_files(metadata, "gguf"), "back"), text);
}

// An added token above the rows of the embedding is left out: llama.cpp wants as many tokens as rows.
TEST(TokenizerExport, TokensAboveTheVocabularyAreLeftOut) {
  std::vector<SideFile> files = folder_files(source_folder() / "tests/expected/tokenizers");
  files.push_back(side_file_for_test("tokenizer.json",
                                     read_text_for_test(source_folder() / "tests/expected/tokenizers/llama3.json")));
  const auto source = make_tokenizer(files, "source");
  GgufMetadata metadata;
  add_gguf_tokenizer(files, "source", source->vocab_size() - 1, &metadata);
  EXPECT_EQ(metadata.items<std::string>("tokenizer.ggml.tokens")->size(), source->vocab_size() - 1);
  EXPECT_EQ(metadata.items<int32_t>("tokenizer.ggml.token_type")->size(), source->vocab_size() - 1);
}

TEST(TokenizerExport, SentencePieceOfARealModel) {
  OCC_REQUIRE_DATA(folder, "models/stories260k");
  expect_round_trip(folder_files(folder));
  // Its GGUF says the same.
  const GgufFile gguf(folder / "model-f32.gguf");
  expect_same(*make_tokenizer(hf_tokenizer_files(gguf.metadata(), "gguf"), "files"), *open_tokenizer(folder.string()));
}

TEST(TokenizerExport, VocabulariesOfGgufFiles) {
  OCC_REQUIRE_DATA(folder, "tokenizers");
  for (const char* name : {"ggml-vocab-gpt-2.gguf", "ggml-vocab-llama-spm.gguf"}) {
    const GgufFile gguf(folder / name);
    expect_same(*make_tokenizer(hf_tokenizer_files(gguf.metadata(), name), name), *open_tokenizer(folder / name));
  }
}

TEST(TokenizerExport, ByteLevelFindsThePatternByItsIds) {
  OCC_REQUIRE_DATA(path, "tokenizers/gpt-neox-20B_tokenizer.json");
  const std::vector<SideFile> files = {side_file_for_test("tokenizer.json", read_text_for_test(path))};
  GgufMetadata metadata;
  add_gguf_tokenizer(files, "neox", 50432, &metadata);
  EXPECT_EQ(*metadata.string("tokenizer.ggml.pre"), "gpt-2");
  expect_same(*make_tokenizer(files, "neox"), *tokenizer_from_gguf(metadata, "gguf"));
}

// Without what GGUF cannot say: added tokens that take white space along, another limit for long words.
TEST(TokenizerExport, SmallOnes) {
  const fs::path folder = source_folder() / "tests/expected/tokenizers";
  for (const char* name : {"bert_uncased", "bert_cased", "llama3"}) {
    SCOPED_TRACE(name);
    nlohmann::json tokenizer = parse_json_file(folder / (std::string(name) + ".json"));
    nlohmann::json kept = nlohmann::json::array();
    for (const auto& token : tokenizer["added_tokens"]) {
      if (!token["lstrip"] && !token["rstrip"] && !token["single_word"]) kept.push_back(token);
    }
    tokenizer["added_tokens"] = kept;
    if (tokenizer["model"].contains("max_input_chars_per_word")) tokenizer["model"]["max_input_chars_per_word"] = 100;
    expect_round_trip({side_file_for_test("tokenizer.json", tokenizer.dump())}, prose());
  }
}

TEST(TokenizerExport, WhatCannotBeExpressedIsRefused) {
  const fs::path folder = source_folder() / "tests/expected/tokenizers";
  GgufMetadata metadata;
  EXPECT_INPUT_ERROR(
      add_gguf_tokenizer({side_file_for_test("tokenizer.json", read_text_for_test(folder / "splits.json"))}, "x.json",
                         1000, &metadata),
      "x.json");
  EXPECT_TRUE(metadata.entries().empty()) << "nothing half written";
  EXPECT_TRUE(hf_tokenizer_files(metadata, "none").empty());
  add_gguf_tokenizer({}, "none", 10, &metadata);
  EXPECT_TRUE(metadata.entries().empty());
}

}  // namespace
}  // namespace occ
