// Tokenizers against what llama.cpp and the `tokenizers` package give (tests/expected/tokenizers/make.py), and files
// that are wrong.
#include "tokenizer/tokenizer.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/hash.h"
#include "base/rng.h"
#include "io/gguf_metadata.h"
#include "io/json.h"
#include "occ/error.h"
#include "test_data.h"
#include "tokenizer/side_file_for_test.h"
#include "tokenizer/tokenizer_pipeline.h"
#include "tokenizer/unicode.h"

namespace occ {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

const fs::path kExpected = source_folder() / "tests/expected/tokenizers";

std::string unhex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i < hex.size(); i += 2) out.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

const json& expected_values() {
  static const json kValues = parse_json_file(kExpected / "expected.json");
  return kValues;
}

// Ids, plain ids (nothing special) and decoding of the hostile texts, and the ids of wiki.test.raw if it is there.
void expect_same_as_package(const std::string& name, const fs::path& path) {
  const auto tokenizer = open_tokenizer(path.string());
  const json& expected = expected_values().at("tokenizers").at(name);
  const json& texts = expected_values().at("texts");
  // What GGUF files add to a text is not what the package was told to add.
  const bool add = path.extension() == ".json";
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string text = unhex(texts[i]);
    const auto ids = expected.at("ids")[i].get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer->encode(text, {.add_special = add}), ids) << name << " text " << i << ": " << text;
    const auto plain = expected.at("plain").value(std::to_string(i), ids);
    EXPECT_EQ(tokenizer->encode(text, {.add_special = false, .parse_special = false}), plain)
        << name << " text " << i << ": " << text;
    EXPECT_EQ(replace_invalid_utf8(tokenizer->decode(ids, true)), expected.at("decoded")[i])
        << name << " text " << i << ": " << text;
  }
  const fs::path wiki = test_data_folder() / "text/wiki.test.raw";
  if (!fs::exists(wiki)) return;
  const auto ids = tokenizer->encode(read_text_for_test(wiki), {.add_special = add});
  EXPECT_EQ(ids.size(), expected.at("wiki").at("count")) << name;
  EXPECT_EQ(hash_hex(hash64(ids.data(), ids.size() * sizeof(TokenId))), expected.at("wiki").at("xxh64")) << name;
}

class SmallTokenizer : public ::testing::TestWithParam<const char*> {};

TEST_P(SmallTokenizer, SameAsPackage) {
  expect_same_as_package(GetParam(), kExpected / (std::string(GetParam()) + ".json"));
}

INSTANTIATE_TEST_SUITE_P(All, SmallTokenizer,
                         ::testing::Values("bert_cased", "bert_uncased", "falcon", "llama3", "metaspace_first",
                                           "metaspace_never", "prefix", "splits", "unigram", "unigram_bytes",
                                           "word_level"),
                         [](const auto& param) { return std::string(param.param); });

TEST(Tokenizer, Stories260kSameAsPackage) {
  OCC_REQUIRE_DATA(path, "models/stories260k/tokenizer.json");
  expect_same_as_package("stories260k", path);
}

TEST(Tokenizer, GptNeoxSameAsPackage) {
  OCC_REQUIRE_DATA(path, "tokenizers/gpt-neox-20B_tokenizer.json");
  expect_same_as_package("gpt-neox", path);
}

TEST(Tokenizer, Gpt2OfGgufSameAsPackage) {
  OCC_REQUIRE_DATA(path, "tokenizers/ggml-vocab-gpt-2.gguf");
  expect_same_as_package("gpt-2", path);
}

// These two come from Python packages (all-MiniLM-L6-v2, SmolLM2-135M-Instruct) and may be put beside the other data.
TEST(Tokenizer, MiniLmSameAsPackage) {
  OCC_REQUIRE_DATA(path, "models/all-MiniLM-L6-v2/tokenizer.json");
  expect_same_as_package("minilm", path);
}

TEST(Tokenizer, SmolLm2SameAsPackage) {
  OCC_REQUIRE_DATA(path, "models/SmolLM2-135M-Instruct.Q4_1.gguf");
  expect_same_as_package("smollm2", path);
  const auto tokenizer = open_tokenizer(path.string());
  EXPECT_FALSE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->find("<|im_end|>"), 2);
  EXPECT_THAT(tokenizer->end_of_generation(), ::testing::ElementsAre(2, 0));
  EXPECT_THAT(tokenizer->chat_template(), HasSubstr("SmolLM"));
}

// <vocabulary>.inp: texts between lines __ggml_vocab_test__; .out: their ids, a line each. Nothing is added to a text.
void expect_ids_of_file(const fs::path& path) {
  const auto tokenizer = open_tokenizer(path.string());
  const std::string input = read_text_for_test(path.string() + ".inp");
  std::istringstream output(read_text_for_test(path.string() + ".out"));
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
    std::string pieces;
    for (const TokenId id : expected) pieces += tokenizer->piece(id);
    EXPECT_EQ(pieces.ends_with(text), true) << text;
  }
  std::string rest;
  EXPECT_FALSE(std::getline(output, rest)) << rest;
  EXPECT_GT(count, 40u);
}

TEST(Tokenizer, Gpt2OfGguf) {
  OCC_REQUIRE_DATA(path, "tokenizers/ggml-vocab-gpt-2.gguf");
  expect_ids_of_file(path);
}

TEST(Tokenizer, Gemma4OfGguf) {
  OCC_REQUIRE_DATA(path, "tokenizers/ggml-vocab-gemma-4.gguf");
  expect_ids_of_file(path);
  const auto tokenizer = open_tokenizer(path.string());
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->encode("a\n\nb", {.add_special = false}).size(), 3u);
}

TEST(Tokenizer, SentencePieceOfGguf) {
  OCC_REQUIRE_DATA(path, "tokenizers/ggml-vocab-llama-spm.gguf");
  expect_ids_of_file(path);
  const auto tokenizer = open_tokenizer(path.string());
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->bos(), 1);
  EXPECT_EQ(tokenizer->encode("Hello<s>x"), (std::vector<TokenId>{1, 15043, 1, 921}));
  EXPECT_EQ(tokenizer->piece(1), "");
  EXPECT_EQ(tokenizer->piece(1, true), "<s>");
  EXPECT_EQ(tokenizer->piece(13), "\n");
  EXPECT_THAT(tokenizer->end_of_generation(), ::testing::ElementsAre(2));
}

// Of two ids with one text the last is made, as in llama.cpp, and both are decoded.
TEST(Tokenizer, ATextThatStandsTwiceInGguf) {
  GgufMetadata metadata;
  metadata.append("tokenizer.ggml.model", std::string("llama"));
  metadata.append("tokenizer.ggml.tokens", GgufArray{std::vector<std::string>{"<unk>", "a", "b", "a"}});
  metadata.append("tokenizer.ggml.scores", GgufArray{std::vector<float>{0, -1, -2, -3}});
  metadata.append("tokenizer.ggml.token_type", GgufArray{std::vector<int32_t>{2, 1, 1, 1}});
  metadata.append("tokenizer.ggml.add_space_prefix", false);
  const auto tokenizer = tokenizer_from_gguf(metadata, "model.gguf");
  EXPECT_EQ(tokenizer->encode("ab", {.add_special = false}), (std::vector<TokenId>{3, 2}));
  EXPECT_EQ(tokenizer->decode(std::vector<TokenId>{1, 2, 3}), "aba");
}

// The same vocabulary in both forms: ids by scores and by the list of merges.
TEST(Tokenizer, BothFormsOfStories260kAgree) {
  OCC_REQUIRE_DATA(folder, "models/stories260k");
  const auto json_form = open_tokenizer(folder.string());
  const auto gguf_form = open_tokenizer((folder / "model-f32.gguf").string());
  EXPECT_EQ(json_form->vocab_size(), gguf_form->vocab_size());
  for (const json& text : expected_values().at("texts")) {
    EXPECT_EQ(json_form->encode(unhex(text)), gguf_form->encode(unhex(text))) << text;
  }
}

// A byte-level vocabulary without merges: ids are bytes in GPT-2's order of characters.
json small_json() {
  json vocab = json::object();
  int id = 0;
  for (const char c : std::string("abcdefgh<>/s ")) vocab[std::string(1, c)] = id++;
  vocab["ab"] = id++;
  return {{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"a b"}}}},
          {"added_tokens", {{{"id", 20}, {"content", "<s>"}, {"special", true}}}}};
}

std::string make_error(const std::vector<SideFile>& files) {
  try {
    make_tokenizer(files, "model");
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    return e.what();
  }
  return "";
}

TEST(Tokenizer, ConfigurationSaysWhatIsAdded) {
  const SideFile tokenizer = side_file_for_test("tokenizer.json", small_json().dump());
  const auto plain = make_tokenizer({tokenizer}, "model");
  EXPECT_EQ(plain->encode("ab<s>c"), (std::vector<TokenId>{13, 20, 2}));
  EXPECT_FALSE(plain->adds_bos());
  EXPECT_EQ(plain->vocab_size(), 21u);
  EXPECT_EQ(plain->piece(13), "ab");
  EXPECT_EQ(plain->piece(21), "");
  EXPECT_EQ(plain->piece(-1), "");

  const SideFile config =
      side_file_for_test("tokenizer_config.json", R"({"bos_token": {"content": "<s>"}, "eos_token": "c",
      "add_bos_token": true, "add_eos_token": true,
      "chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]})");
  const auto configured = make_tokenizer({tokenizer, config}, "model");
  EXPECT_EQ(configured->encode("a"), (std::vector<TokenId>{20, 0, 2}));
  EXPECT_EQ(configured->encode("a", {.add_special = false}), (std::vector<TokenId>{0}));
  EXPECT_TRUE(configured->adds_bos());
  EXPECT_EQ(configured->chat_template(), "D");
  EXPECT_THAT(configured->end_of_generation(), ::testing::ElementsAre(2));

  const SideFile generation =
      side_file_for_test("generation_config.json", R"({"eos_token_id": [3, 2], "bos_token_id": 20})");
  const SideFile jinja = side_file_for_test("chat_template.jinja", "J");
  const auto both = make_tokenizer({tokenizer, config, generation, jinja}, "model");
  EXPECT_THAT(both->end_of_generation(), ::testing::ElementsAre(2, 3));
  EXPECT_EQ(both->chat_template(), "J");
}

TEST(Tokenizer, ErrorsSayWhatIsWrong) {
  EXPECT_THAT(make_error({}), HasSubstr("found none"));
  const auto error_with = [](const char* pointer, const json& value) {
    json j = small_json();
    j[json::json_pointer(pointer)] = value;
    return make_error({side_file_for_test("tokenizer.json", j.dump())});
  };
  EXPECT_EQ(error_with("/version", "1"), "");
  EXPECT_THAT(error_with("/model/type", "Unigram"), HasSubstr("expected a list with scores"));
  EXPECT_THAT(error_with("/model/merges/0", "a q"), HasSubstr("merges[0]: expected tokens of the vocabulary"));
  EXPECT_THAT(error_with("/model/merges/0", {"a"}), HasSubstr("expected two tokens"));
  EXPECT_THAT(error_with("/model/vocab/a", 2'000'000'000), HasSubstr("vocab['a']: expected a whole number"));
  EXPECT_THAT(error_with("/model/vocab/a", 1), HasSubstr("id 1 has two tokens"));
  EXPECT_THAT(error_with("/model/vocab", json::array()), HasSubstr("Unigram"));
  EXPECT_THAT(error_with("/model/dropout", 0.1), HasSubstr("dropout"));
  EXPECT_THAT(error_with("/added_tokens/0/id", -1), HasSubstr("added_tokens[0].id"));
  EXPECT_THAT(error_with("/normalizer", {{"type", "Nothing"}}), HasSubstr("found 'Nothing'"));
  EXPECT_THAT(error_with("/pre_tokenizer", {{"type", "Scripts"}}), HasSubstr("found 'Scripts'"));
  EXPECT_THAT(error_with("/pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", "(a"}}}}), HasSubstr("'(a'"));
  EXPECT_THAT(error_with("/decoder", {{"type", "CTC"}}), HasSubstr("found 'CTC'"));
  EXPECT_THAT(error_with("/post_processor", {{"type", "BertProcessing"}, {"cls", {"x", 99}}, {"sep", {"x", 1}}}),
              HasSubstr("expected ids below 21, found 99"));
  EXPECT_THAT(make_error({side_file_for_test("gguf.json", R"({"metadata": []})")}), HasSubstr("tokenizer.ggml.model"));
  EXPECT_THAT(make_error({side_file_for_test("gguf.json", R"({"metadata": [
      {"key": "tokenizer.ggml.model", "type": "string", "value": "gpt2"},
      {"key": "tokenizer.ggml.pre", "type": "string", "value": "nosuch"},
      {"key": "tokenizer.ggml.tokens", "type": "array", "items": "string", "value": ["a"]}]})")}),
              HasSubstr("expected one of default gpt-2"));
}

// Any value of the file replaced by another kind of value: an input error or a tokenizer that works.
TEST(Tokenizer, WrongKindsAreInputErrors) {
  const std::vector<json> others = {nullptr, true,           -1,        7, 1e300, "", "x", json::array(),
                                    {1, 2},  json::object(), {{"a", 1}}};
  for (const char* name : {"bert_uncased", "llama3", "metaspace_first", "splits"}) {
    const json whole = parse_json_file(kExpected / (std::string(name) + ".json"));
    Rng rng(7);
    const json flat = whole.flatten();
    std::vector<std::string> pointers;
    for (auto it = flat.begin(); it != flat.end(); ++it) {
      // All of the pipeline, some of the lists.
      const bool entry = it.key().starts_with("/model/vocab") || it.key().starts_with("/model/merges") ||
                         it.key().starts_with("/added_tokens");
      if (!entry || rng.below(50) == 0) pointers.push_back(it.key());
    }
    for (const std::string& pointer : pointers) {
      json changed = whole;
      changed[json::json_pointer(pointer)] = others[rng.below(others.size())];
      try {
        const auto tokenizer = make_tokenizer({side_file_for_test("tokenizer.json", changed.dump())}, "model");
        tokenizer->decode(tokenizer->encode("The quick, brown <mask> fox\n123"), true);
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kInput) << pointer;
      }
    }
  }
}

}  // namespace
}  // namespace occ
