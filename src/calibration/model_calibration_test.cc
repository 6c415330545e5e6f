#include "calibration/model_calibration.h"

#include <algorithm>

#include "base/rng.h"
#include "container/archive_file.h"
#include "model/tiny_models_for_test.h"

namespace occ {
namespace {

std::vector<std::vector<TokenId>> random_texts(size_t count, size_t length, size_t vocab_size, uint64_t seed) {
  Rng rng(seed);
  std::vector<std::vector<TokenId>> texts(count);
  for (auto& text : texts) {
    for (size_t t = 0; t < length; ++t) text.push_back(static_cast<TokenId>(rng.below(vocab_size)));
  }
  return texts;
}

class EveryCalibration : public testing::TestWithParam<TinyVariant> {};

// For every architecture the whole model can be coded, and linear layers have second moments of their inputs.
TEST_P(EveryCalibration, CodesTheWholeModel) {
  const TinyModel tiny(GetParam().model, GetParam().name);
  const auto file = tiny.open();
  const ModelConfig config = read_config(*file);
  const TempFolder folder;
  CalibrationSettings settings;
  settings.plan_sequences = 4;
  settings.tune_sequences = random_texts(8, 16, config.vocab_size, 4);
  settings.token_counts.resize(config.vocab_size, 1);
  ModelCalibration calibration(*file, random_texts(12, 24, config.vocab_size, 5), "test", folder.path(), settings);
  EXPECT_FALSE(calibration.order().empty());
  CompressOptions options;
  options.bits = 12;
  const CompressReport report = compress_source(*file, folder.path() / "m.occ", options, &calibration);
  EXPECT_TRUE(report.verified);
  size_t coded = 0, weighted = 0, rows = 0;
  for (const TensorReport& t : report.tensors) {
    coded += !t.recipe.empty();
    weighted += t.weighted_error.has_value();
    rows += t.recipe.find("by=weight") != std::string::npos;
  }
  EXPECT_GT(coded, 4);
  EXPECT_GT(rows, 0);
  if (config.transposed_weights) {
    EXPECT_LE(weighted, 1);  // at most the head has moments, because the columns of W^T are outputs
  } else {
    EXPECT_GE(weighted, 4 * config.layers);
  }
  const auto archive = open_any(folder.path() / "m.occ");
  const auto texts = random_texts(2, 20, config.vocab_size, 6);
  if (config.encoder) {
    EXPECT_LT(difference_for_test(load_encoder(*archive)->embed(texts), load_encoder(*file)->embed(texts)), 0.2);
  } else {
    const auto a = load_transformer(*archive, {Arithmetic::kF32, {}}),
               b = load_transformer(*file, {Arithmetic::kF32, {}});
    EXPECT_LT(difference_for_test(hidden_for_test(*a, texts[0], 20), hidden_for_test(*b, texts[0], 20)), 0.2);
  }
}

// One token goes to two of four experts, so nothing is known about the inputs of the other two.
TEST(Experts, ThatSawTooFewTokensAreCodedAsIfInputsWereWhite) {
  const TinyModel tiny("mixtral", "plain");
  const auto file = tiny.open();
  const ModelConfig config = read_config(*file);
  for (const size_t sequences : {1, 64}) {
    const TempFolder folder;
    CalibrationSettings settings;
    ModelCalibration calibration(*file, random_texts(sequences, sequences == 1 ? 1 : 24, config.vocab_size, 4), "test",
                                 folder.path(), settings);
    CompressOptions options;
    options.bits = 4;
    const CompressReport report = compress_source(*file, folder.path() / "m.occ", options, &calibration);
    size_t rare = 0, white = 0, experts = 0;
    for (const TensorReport& t : report.tensors) {
      const bool noted = t.note.find("tokens of the calibration text") != std::string::npos;
      const bool expert = t.name.find("experts.") != std::string::npos;
      EXPECT_FALSE(noted && !expert) << t.name;
      experts += expert;
      rare += noted;
      EXPECT_TRUE(!expert || t.recipe.find("by=weight") != std::string::npos) << t.name << ": " << t.recipe;
      if (t.note.starts_with("0 tokens")) {
        ++white;
        ASSERT_TRUE(t.weighted_error.has_value()) << t.name;
        EXPECT_NEAR(*t.weighted_error / t.nmse, 1, 1e-3) << t.name;
      }
      const bool router = t.name.find("gate.weight") != std::string::npos;
      EXPECT_EQ(router, t.note == "router of experts") << t.name;
    }
    EXPECT_EQ(experts, 3 * config.experts * config.layers);
    EXPECT_EQ(rare, sequences == 1 ? experts : 0);
    EXPECT_EQ(white, sequences == 1 ? experts / 2 : 0);
    const auto said = [](const std::string& note) { return note.find("an expert saw fewer") != std::string::npos; };
    EXPECT_EQ(std::any_of(report.notes.begin(), report.notes.end(), said), sequences == 1);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, EveryCalibration,
    testing::Values(TinyVariant{"llama", "plain"}, TinyVariant{"mistral", "window"}, TinyVariant{"qwen2", "plain"},
                    TinyVariant{"qwen3", "plain"}, TinyVariant{"gpt2", "plain"}, TinyVariant{"gptneox", "plain"},
                    TinyVariant{"phi3", "short"}, TinyVariant{"bert", "plain"}, TinyVariant{"roberta", "plain"},
                    TinyVariant{"nomicbert", "plain"}, TinyVariant{"mixtral", "plain"}, TinyVariant{"olmo2", "plain"},
                    TinyVariant{"gemma3", "plain"}, TinyVariant{"granite", "plain"}, TinyVariant{"opt", "plain"},
                    TinyVariant{"gemma3-images", "plain"}, TinyVariant{"qwen3moe", "raw"}),
    tiny_variant_name<TinyVariant>);

}  // namespace
}  // namespace occ
