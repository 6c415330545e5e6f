#include "model/transformer.h"

#include <cmath>
#include <set>

#include "container/archive_file.h"
#include "io/expect_error_for_test.h"
#include "model/tiny_models_for_test.h"
#include "occ/compress.h"

namespace occ {
namespace {

class EveryModel : public testing::TestWithParam<TinyVariant> {
 protected:
  EveryModel() : tiny_(GetParam().model, GetParam().name) {}

  // Logits of the rows that were kept.
  void expect_logits(const TensorFile& file) const {
    const auto model = load_transformer(file, kExact);
    const Matrix<float> all = logits_for_test(*model, hidden_for_test(*model, tiny_.integers("tokens"), 1000));
    const Matrix<float> expected = tiny_.expected("logits");
    Matrix<float> kept(expected.rows(), expected.cols());
    const std::vector<TokenId> rows = tiny_.integers("rows");
    for (size_t i = 0; i < rows.size(); ++i)
      std::copy_n(all.row(static_cast<size_t>(rows[i])), all.cols(), kept.row(i));
    const double difference = difference_for_test(kept, expected);
    RecordProperty("difference", std::to_string(difference));
    EXPECT_LT(difference, 1e-5) << file.path();  // of the largest logit
  }

  TinyModel tiny_;
};

TEST_P(EveryModel, GivesTheLogitsOfTransformers) { expect_logits(*tiny_.open()); }

class EveryGguf : public EveryModel {};

TEST_P(EveryGguf, GivesTheLogitsOfTransformers) { expect_logits(*open_tensor_file(tiny_.gguf())); }

TEST_P(EveryModel, TokensMayComeInAnyPortions) {
  const auto file = tiny_.open();
  const auto model = load_transformer(*file, kExact);
  const std::vector<TokenId> tokens = tiny_.integers("tokens");
  const Matrix<float> whole = hidden_for_test(*model, tokens, 1000);
  for (const size_t step : {1, 7, 64}) {
    EXPECT_LT(difference_for_test(hidden_for_test(*model, tokens, step), whole), 1e-6) << step;
  }
}

TEST_P(EveryModel, RaggedBatchesGiveTheSameAsOneByOne) {
  const auto file = tiny_.open();
  const auto model = load_transformer(*file, kExact);
  const std::vector<TokenId> tokens = tiny_.integers("tokens");
  const std::vector<size_t> lengths = {5, 1, 80, 33};
  std::vector<std::unique_ptr<KvCache>> caches;
  std::vector<Sequence> sequences;
  for (const size_t n : lengths) {
    caches.push_back(model->make_cache(tokens.size()));
    sequences.push_back({std::span(tokens).subspan(tokens.size() - n), caches.back().get()});
  }
  const Matrix<float> together = model->hidden(sequences);
  size_t row = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    EXPECT_EQ(caches[i]->length(), lengths[i]);
    const std::vector<TokenId> own(sequences[i].tokens.begin(), sequences[i].tokens.end());
    // The same capacity, for longrope goes by it.
    const auto cache = model->make_cache(tokens.size());
    const Matrix<float> alone = hidden_for_test(*model, own, 1000, cache.get());
    Matrix<float> part(lengths[i], alone.cols());
    std::copy_n(together.row(row), part.size(), part.data());
    EXPECT_LT(difference_for_test(part, alone), 1e-6) << lengths[i];
    row += lengths[i];
  }
}

TEST_P(EveryModel, RunsWithInt8AndHalfPrecisionCache) {
  const auto file = tiny_.open();
  const auto exact = load_transformer(*file, kExact), fast = load_transformer(*file);
  const std::vector<TokenId> tokens = tiny_.integers("tokens");
  const Matrix<float> a = hidden_for_test(*fast, tokens, 9), b = hidden_for_test(*exact, tokens, 9);
  EXPECT_LT(difference_for_test(a, b), 0.1);
}

// The next tokens of several sequences, in one pass and each in one of its own; and one of them again after its cache
// was copied.
TEST_P(EveryModel, StepsOfSeveralSequencesGiveTheBitsOfSingleOnes) {
  const auto file = tiny_.open();
  const std::vector<TokenId> tokens = tiny_.integers("tokens");
  for (const Arithmetic arithmetic : {Arithmetic::kF32, Arithmetic::kInt8}) {
    const auto model = load_transformer(*file, {arithmetic, {}});
    std::vector<std::unique_ptr<KvCache>> caches;
    std::vector<Sequence> sequences;
    for (size_t i = 0; i < kInputsAsAlone; ++i) {
      caches.push_back(model->make_cache(tokens.size()));
      const std::vector<TokenId> begin(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(5 + 7 * i));
      hidden_for_test(*model, begin, 1000, caches.back().get());
      sequences.push_back({std::span(tokens).subspan(5 + 7 * i, 1), caches.back().get()});
    }
    const auto copy = model->make_cache(tokens.size());
    copy->copy(*caches[5], caches[5]->length());
    const Matrix<float> together = model->hidden(sequences), logits = logits_for_test(*model, together);
    const auto expect_alone = [&](size_t i, KvCache* cache) {
      const Sequence one{sequences[i].tokens, cache};
      const Matrix<float> alone = model->hidden({&one, 1}), own = logits_for_test(*model, alone);
      EXPECT_TRUE(std::equal(alone.data(), alone.data() + alone.size(), together.row(i))) << i;
      EXPECT_TRUE(std::equal(own.data(), own.data() + own.size(), logits.row(i))) << i;
    };
    for (size_t i = 0; i < kInputsAsAlone; ++i) {
      caches[i]->truncate(caches[i]->length() - 1);
      expect_alone(i, caches[i].get());
    }
    expect_alone(5, copy.get());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, EveryModel,
    testing::Values(TinyVariant{"llama", "plain"}, TinyVariant{"llama", "linear"}, TinyVariant{"llama", "llama3"},
                    TinyVariant{"llama", "yarn"}, TinyVariant{"llama", "yarn-default"},
                    TinyVariant{"llama-bias", "plain"}, TinyVariant{"mistral", "plain"},
                    TinyVariant{"mistral", "window"}, TinyVariant{"qwen2", "plain"}, TinyVariant{"qwen2", "window"},
                    TinyVariant{"qwen3", "plain"}, TinyVariant{"gpt2", "plain"}, TinyVariant{"gptneox", "plain"},
                    TinyVariant{"gptneox", "sequential"}, TinyVariant{"phi3", "plain"}, TinyVariant{"phi3", "long"},
                    TinyVariant{"phi3", "short"}, TinyVariant{"mixtral", "plain"}, TinyVariant{"olmo2", "plain"},
                    TinyVariant{"olmo3", "plain"}, TinyVariant{"smollm3", "plain"}, TinyVariant{"granite", "plain"},
                    TinyVariant{"gemma", "plain"}, TinyVariant{"gemma2", "plain"}, TinyVariant{"gemma3", "plain"},
                    TinyVariant{"opt", "plain"}, TinyVariant{"ministral", "plain"}, TinyVariant{"ministral3", "plain"},
                    TinyVariant{"smollm3", "window"}, TinyVariant{"gemma2", "scalar"},
                    TinyVariant{"gemma3-images", "plain"}, TinyVariant{"mistral3-images", "plain"},
                    TinyVariant{"qwen25-images", "plain"}, TinyVariant{"qwen3moe", "plain"},
                    TinyVariant{"qwen3moe", "raw"}),
    tiny_variant_name<TinyVariant>);
INSTANTIATE_TEST_SUITE_P(Models, EveryGguf,
                         testing::Values(TinyVariant{"llama", "plain"}, TinyVariant{"llama", "llama3"},
                                         TinyVariant{"llama", "yarn-default"}, TinyVariant{"qwen2", "plain"},
                                         TinyVariant{"qwen3", "plain"}, TinyVariant{"gpt2", "plain"},
                                         TinyVariant{"gptneox", "plain"}, TinyVariant{"phi3", "long"},
                                         TinyVariant{"olmo2", "plain"}, TinyVariant{"olmo3", "plain"},
                                         TinyVariant{"smollm3", "plain"}, TinyVariant{"granite", "plain"},
                                         TinyVariant{"gemma", "plain"}, TinyVariant{"gemma2", "plain"},
                                         TinyVariant{"gemma3", "plain"}, TinyVariant{"ministral3", "plain"}),
                         tiny_variant_name<TinyVariant>);

// The oracle of attention, rotation and norms written out is transformers; what follows is about this interface.

TEST(Transformer, TruncateForgetsTokens) {
  const TinyModel tiny("llama", "plain");
  const auto file = tiny.open();
  const auto model = load_transformer(*file, kExact);
  const std::vector<TokenId> tokens = tiny.integers("tokens");
  const auto cache = model->make_cache(200);
  const Matrix<float> first = hidden_for_test(*model, tokens, 1000, cache.get());
  cache->truncate(30);
  EXPECT_EQ(cache->length(), 30u);
  cache->truncate(50);
  EXPECT_EQ(cache->length(), 30u) << "tokens do not come back";
  const std::vector<TokenId> other(10, 3), rest(tokens.begin() + 30, tokens.end());
  hidden_for_test(*model, other, 10, cache.get());
  cache->truncate(30);
  const Matrix<float> again = hidden_for_test(*model, rest, 1000, cache.get());
  Matrix<float> tail(rest.size(), first.cols());
  std::copy_n(first.row(30), tail.size(), tail.data());
  EXPECT_LT(difference_for_test(again, tail), 1e-6);
}

TEST(Transformer, CacheGivesKeysAndValues) {
  const TinyModel tiny("qwen3", "plain");  // head_dim 24: not a multiple of the blocks
  const auto file = tiny.open();
  const auto exact = load_transformer(*file, kExact), half = load_transformer(*file);
  const std::vector<TokenId> tokens = tiny.integers("tokens");
  const auto a = exact->make_cache(80), b = half->make_cache(80);
  hidden_for_test(*exact, tokens, 1000, a.get());
  hidden_for_test(*half, tokens, 1000, b.get());
  EXPECT_EQ(a->keys(0).shape(), (Shape{80, 24}));
  EXPECT_LT(difference_for_test(b->keys(0), a->keys(0)), 0.05);
  EXPECT_LT(difference_for_test(b->values(1), a->values(1)), 0.1);
  EXPECT_GT(difference_for_test(a->keys(0), a->values(0)), 0.1);
}

TEST(Transformer, ObserverSeesTheInputsOfEveryLinearLayer) {
  const TinyModel tiny("llama", "plain");
  const auto file = tiny.open();
  std::set<std::string> seen;
  TransformerOptions options = kExact;
  options.observer = [&](const std::string& tensor, MatrixView<const float> inputs) {
    const size_t i = file->find(tensor);
    ASSERT_LT(i, file->tensors().size()) << tensor;
    EXPECT_EQ(inputs.cols(), file->tensors()[i].shape[1]) << tensor;
    EXPECT_EQ(inputs.rows(), 10u);
    seen.insert(tensor);
  };
  const auto model = load_transformer(*file, options);
  const std::vector<TokenId> tokens(10, 5);
  logits_for_test(*model, hidden_for_test(*model, tokens, 10));
  EXPECT_EQ(seen.size(), 2 * 7u + 1);
  EXPECT_EQ(seen.count("model.layers.1.mlp.down_proj.weight"), 1u);
  EXPECT_EQ(seen.count("lm_head.weight"), 1u);
  const size_t elements = 2 * 64 * 32 + 2 * (2 * 64 * 32 + 2 * 32 * 32 + 3 * 32 * 52);
  EXPECT_GE(model->weight_bytes(), 2 * elements) << "bf16 at least";
}

TEST(Transformer, LongInputsGoThroughInChunks) {
  const TinyModel tiny("llama", "plain");
  const auto file = tiny.open();
  const auto model = load_transformer(*file, kExact);
  std::vector<TokenId> tokens(2100);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<TokenId>(i * i % 61);
  const Matrix<float> whole = hidden_for_test(*model, tokens, 3000);
  EXPECT_LT(difference_for_test(hidden_for_test(*model, tokens, 300), whole), 1e-5);
}

TEST(Transformer, RefusesWhatDoesNotFit) {
  const TinyModel tiny("gpt2", "plain");
  const auto file = tiny.open();
  const auto model = load_transformer(*file, kExact);
  EXPECT_USAGE_ERROR(model->make_cache(129), "at most 128 tokens (positions of the model), found 129");
  const auto cache = model->make_cache(4);
  const std::vector<TokenId> five(5, 1), high = {1, 64}, low = {-1};
  EXPECT_USAGE_ERROR(hidden_for_test(*model, five, 5, cache.get()), "at most 4 tokens, found 5");
  EXPECT_USAGE_ERROR(hidden_for_test(*model, five, 2, cache.get()), "at most 4 tokens, found 5");
  EXPECT_EQ(cache->length(), 4u);
  cache->truncate(0);
  EXPECT_INPUT_ERROR(hidden_for_test(*model, high, 2, cache.get()), "token 64: expected an id below 64");
  EXPECT_INPUT_ERROR(hidden_for_test(*model, low, 1, cache.get()), "token -1");
  EXPECT_EQ(cache->length(), 0u);
  EXPECT_EQ(model->hidden({}).rows(), 0u);
  const Sequence empty{{}, cache.get()};
  EXPECT_EQ(model->hidden({&empty, 1}).rows(), 0u);
}

TEST(Transformer, FolderAndGgufOfARealModelAgree) {
  OCC_REQUIRE_DATA(folder, "models/stories260k");
  const auto hf = open_tensor_file(folder), gguf = open_tensor_file(folder / "model-f32.gguf");
  const auto a = load_transformer(*hf, kExact), b = load_transformer(*gguf, kExact);
  std::vector<TokenId> tokens = {1, 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421};
  while (tokens.size() < 300) tokens.push_back(tokens[tokens.size() - 12]);
  const Matrix<float> x = logits_for_test(*a, hidden_for_test(*a, tokens, 1000));
  EXPECT_LT(difference_for_test(logits_for_test(*b, hidden_for_test(*b, tokens, 1000)), x), 1e-5);
  // "Once upon a time" goes on with ", there was a little girl named Lily".
  const std::vector<TokenId> story = {432, 383, 286, 261, 376, 298, 315, 421, 395};
  std::vector<TokenId> text = {1, 403, 407, 261, 378};
  const auto cache = a->make_cache(64);
  for (size_t i = 0; i < story.size(); ++i) {
    const Matrix<float> l = logits_for_test(*a, hidden_for_test(*a, text, 100, cache.get()));
    const float* last = l.row(l.rows() - 1);
    text = {static_cast<TokenId>(std::max_element(last, last + l.cols()) - last)};
    EXPECT_EQ(text[0], story[i]);
  }
}

// Running from the codes, activations in int8, moves logits by at most 2 % of their energy's root.
TEST(Transformer, Int8LogitsAreThoseOfTheDecodedWeights) {
  OCC_REQUIRE_DATA(folder, "models/stories260k");
  const TempFolder work;
  for (const double bits : {3.0, 5.0}) {
    CompressOptions options;
    options.bits = bits;
    options.force = true;
    compress_file(folder, work.path() / "m.occ", options);
    const auto file = open_any(work.path() / "m.occ");
    const auto exact = load_transformer(*file, kExact), fast = load_transformer(*file, {Arithmetic::kInt8, {}});
    std::vector<TokenId> tokens = {1, 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421};
    while (tokens.size() < 200) tokens.push_back(tokens[tokens.size() - 12]);
    const Matrix<float> x = logits_for_test(*exact, hidden_for_test(*exact, tokens, 1000));
    const Matrix<float> y = logits_for_test(*fast, hidden_for_test(*fast, tokens, 1000));
    double errors = 0, squares = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      errors += std::pow(double{y.data()[i]} - double{x.data()[i]}, 2);
      squares += std::pow(double{x.data()[i]}, 2);
    }
    const double difference = std::sqrt(errors / squares);
    RecordProperty("difference", std::to_string(difference));
    EXPECT_LT(difference, 0.02) << bits;
    EXPECT_GT(difference, 0) << bits;
  }
}

}  // namespace
}  // namespace occ
