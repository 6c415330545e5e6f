// Vectors of texts against those of sentence-transformers (tests/expected/embed/make.py).
#include "model/embed.h"

#include <nlohmann/json.hpp>

#include "io/expect_error_for_test.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "model/sentence_modules.h"
#include "model/tiny_models_for_test.h"

namespace occ {
namespace {

using nlohmann::json;

const std::filesystem::path kExpected = source_folder() / "tests/expected/embed";
const json& expected_values() {
  static const json kValues = parse_json_file(kExpected / "cases.json");
  return kValues;
}

// The weights of a module, which stand in modules.safetensors as FOLDER/NAME, into the module's folder.
void write_module(const std::string& module, const std::filesystem::path& to) {
  const auto all = open_tensor_file(kExpected / "modules.safetensors");
  std::vector<OutTensor> tensors;
  std::vector<std::vector<float>> values;
  for (size_t i = 0; i < all->tensors().size(); ++i) {
    const TensorInfo& info = all->tensors()[i];
    if (!info.name.starts_with(module + "/")) continue;
    tensors.push_back({info.name.substr(module.size() + 1), DType::kF32, info.shape});
    values.emplace_back(info.elements());
    all->read_f32(i, 0, values.back().size(), values.back().data());
  }
  if (tensors.empty()) return;
  SafetensorsWriter writer(to / module / "model.safetensors", tensors, {}, false);
  for (const std::vector<float>& v : values) writer.write(v.data(), v.size() * sizeof(float));
  writer.commit();
}

void put_files(const TinyModel& model, const json& test_case) {
  model.put("tokenizer.json", expected_values().at("tokenizer").dump());
  for (const auto& [name, content] : test_case.at("files").items()) {
    model.put(name, content.dump());
    const size_t slash = name.find('/');
    if (slash != std::string::npos) write_module(name.substr(0, slash), model.path());
  }
}

std::optional<std::string> text_of(const json& object, const char* key) {
  return object.contains(key) ? std::optional(object.at(key).get<std::string>()) : std::nullopt;
}

TEST(Embed, SameAsSentenceTransformers) {
  const auto texts = expected_values().at("texts").get<std::vector<std::string>>();
  for (const json& test_case : expected_values().at("cases")) {
    const auto name = test_case.at("name").get<std::string>();
    const TinyModel tiny(test_case.at("model"), "plain");
    put_files(tiny, test_case);
    const EncoderModel model = open_encoder(tiny.path().string(), kExact);
    const std::optional<std::string> prompt = text_of(test_case, "prompt");
    EmbedOptions options;
    options.prompt = prompt ? *prompt : find_prompt(*model.file, text_of(test_case, "prompt_name"));
    options.normalize = test_case.value("normalize", false);
    const Matrix<float> found = model.embed(texts, options);
    const json& rows = test_case.at("vectors");
    ASSERT_EQ(found.rows(), rows.size()) << name;
    for (size_t r = 0; r < found.rows(); ++r) {
      ASSERT_EQ(found.cols(), rows[r].size()) << name;
      for (size_t c = 0; c < found.cols(); ++c) {
        ASSERT_NEAR(found(r, c), rows[r][c].get<float>(), 1e-5) << name << " text " << r << " element " << c;
      }
    }
  }
}

TEST(Embed, TheOrderAndNumberOfTextsDoNotMatter) {
  const TinyModel tiny("bert", "plain");
  put_files(tiny, expected_values().at("cases")[0]);
  const EncoderModel model = open_encoder(tiny.path().string(), kExact);
  std::vector<std::string> texts;
  for (size_t i = 0; i < 200; ++i) {
    std::string& text = texts.emplace_back();
    for (size_t k = 0; k < 1 + i * 7 % 30; ++k) text += fmt::format("w{} ", (i + k) % 40);
  }
  std::vector<uint64_t> seen;
  const Matrix<float> all = model.embed(texts, {.progress = [&](uint64_t done, uint64_t total) {
                                          EXPECT_EQ(total, texts.size());
                                          seen.push_back(done);
                                        }});
  EXPECT_GT(seen.size(), 1u);
  EXPECT_EQ(seen.back(), texts.size());
  for (size_t i = 0; i < texts.size(); i += 13) {
    const Matrix<float> one = model.embed(std::span(texts).subspan(i, 1));
    for (size_t c = 0; c < all.cols(); ++c) EXPECT_NEAR(all(i, c), one(0, c), 1e-5);
  }
}

// What stands behind a text ([SEP] here) stays when the text is cut, and a tokenizer that puts nothing there loses its
// last words.
TEST(Embed, CutsTextsBeforeWhatTheTokenizerAdds) {
  const TinyModel tiny("bert", "plain");
  put_files(tiny, json{{"files", {{"sentence_bert_config.json", {{"max_seq_length", 5}}}}}});
  const EncoderModel model = open_encoder(tiny.path().string(), kExact);
  const Matrix<float> two = model.embed(std::vector<std::string>{"w1 w2 w3 w4 w5", "w1 w2 w3"});
  json tokenizer = expected_values().at("tokenizer");
  tokenizer.erase("post_processor");
  tiny.put("tokenizer.json", tokenizer.dump());
  const EncoderModel plain = open_encoder(tiny.path().string(), kExact);
  const Matrix<float> without = plain.embed(std::vector<std::string>{"w1 w2 w3 w4 w5 w6", "w1 w2 w3 w4 w5"});
  for (size_t c = 0; c < two.cols(); ++c) {
    EXPECT_NEAR(two(0, c), two(1, c), 1e-6);
    EXPECT_NEAR(without(0, c), without(1, c), 1e-6);
  }
  EXPECT_INPUT_ERROR(plain.embed(std::vector<std::string>{"w1", ""}), "text 2: expected one of at least one token");
}

// Embedding models name the class without a head.
TEST(Embed, TakesTheClassWithoutAHead) {
  const json& test_case = expected_values().at("cases")[6];
  ASSERT_EQ(test_case.at("name"), "last");
  json config = json::parse(read_text_for_test(tiny_models_folder() / "qwen3" / "plain.config.json"));
  config["architectures"] = {"Qwen3Model"};
  const TinyModel tiny("qwen3", "plain", config.dump());
  put_files(tiny, test_case);
  const Matrix<float> found =
      open_encoder(tiny.path().string(), kExact)
          .embed(expected_values().at("texts").get<std::vector<std::string>>(), {.prompt = "query: "});
  for (size_t c = 0; c < found.cols(); ++c) EXPECT_NEAR(found(1, c), test_case.at("vectors")[1][c].get<float>(), 1e-5);
}

TEST(Embed, RefusesWhatIsWrong) {
  const TinyModel tiny("bert", "plain");
  put_files(tiny, expected_values().at("cases")[0]);
  tiny.put("config_sentence_transformers.json", R"({"prompts": {"query": "q: "}})");
  const EncoderModel model = open_encoder(tiny.path().string(), kExact);
  EXPECT_EQ(find_prompt(*model.file, std::nullopt), "");
  EXPECT_EQ(find_prompt(*model.file, "query"), "q: ");
  try {
    find_prompt(*model.file, "quarry");
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_NE(std::string(e.what()).find("(query), found 'quarry'"), std::string::npos) << e.what();
  }
  const auto refused = [&](const char* file, const char* text, const char* message) {
    tiny.put(file, text);
    EXPECT_INPUT_ERROR(open_encoder(tiny.path().string(), kExact), message);
  };
  refused("1_Pooling/config.json", R"({"pooling_mode_mean_tokens": true, "pooling_mode_lasttoken": true})",
          "key 'pooling_mode_lasttoken': expected either this or pooling_mode_mean_tokens");
  refused("1_Pooling/config.json", R"({"pooling_mode": ["mean", "max"]})", "key 'pooling_mode'");
  refused("1_Pooling/config.json", R"({"pooling_mode": "median"})", "expected cls, max, mean");
}

}  // namespace
}  // namespace occ
