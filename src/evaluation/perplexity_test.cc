#include "evaluation/perplexity.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/rng.h"
#include "model/fakes_for_test.h"
#include "model/language_model.h"
#include "test_data.h"

namespace occ {
namespace {

PerplexityResult measure(const Transformer& model, const std::string& text, size_t context,
                         const Transformer* reference = nullptr, size_t max_tokens = 0) {
  PerplexityOptions options;
  options.context = context;
  options.max_tokens = max_tokens;
  return measure_perplexity(model, ByteTokenizer(), text, "text", reference, options);
}

TEST(Perplexity, OfAUniformModelIsItsVocabulary) {
  const BigramModel model([](TokenId, TokenId) { return 3.0f; });
  const PerplexityResult r = measure(model, std::string(1023, 'x'), 256);
  EXPECT_NEAR(r.perplexity, 257, 1e-9);
  EXPECT_NEAR(r.perplexity_stderr, 0, 1e-9);
  EXPECT_EQ(r.chunks, 4u);
  EXPECT_EQ(r.tokens, 4u * 127);  // 127 of the 256 tokens of a chunk, as in llama.cpp
}

TEST(Perplexity, ScoresTheSecondHalfOfEachChunkAfterBos) {
  // BOS and the text are cut into chunks of 8 tokens; the positions 5, 6 and 7 of each chunk are scored.
  const std::string text = "abcdefghijklmnopqrs";  // with BOS 20 tokens: two chunks, and four tokens are dropped
  // This model gives the next letter of the alphabet e^2 times the probability of any other token.
  const BigramModel model([](TokenId last, TokenId next) { return next == last + 1 ? 2.0f : 0.0f; });
  const PerplexityResult r = measure(model, text, 8);
  EXPECT_EQ(r.chunks, 2u);
  EXPECT_EQ(r.tokens, 6u);
  EXPECT_NEAR(r.nll, std::log(std::exp(2.0) + 256) - 2, 1e-6);
  // Each chunk begins with BOS in place of its first token.
  const std::vector<TokenId> expected = {kFakeBos, 'a', 'b', 'c', 'd', 'e', 'f', 'g',
                                         kFakeBos, 'i', 'j', 'k', 'l', 'm', 'n', 'o'};
  EXPECT_EQ(model.tokens_seen(), expected);
}

TEST(Perplexity, StandardErrorIsThatOfTheMean) {
  // Half of the scored tokens are likely, and half are not.
  Rng rng(3);
  std::string text;
  for (int i = 0; i < 4000; ++i) text += rng.below(2) != 0 ? 'a' : 'b';
  const BigramModel model([](TokenId, TokenId next) { return next == 'a' ? 10.0f : next == 'b' ? 9.0f : -30.0f; });
  const PerplexityResult r = measure(model, text, 64);
  // The negative log-likelihood is log(1 + e^-1) or that plus 1, each with probability 1/2, so its standard deviation
  // is 1/2.
  EXPECT_NEAR(r.nll, std::log(1 + std::exp(-1.0)) + 0.5, 0.05);
  EXPECT_NEAR(r.perplexity_stderr, r.perplexity * 0.5 / std::sqrt(static_cast<double>(r.tokens)), 1e-3);
}

TEST(Perplexity, DivergenceFromTheReference) {
  // p = (3/4, 1/4), q = (1/4, 3/4) on two tokens: KL = 3/4 log 3 + 1/4 log 1/3 = 1/2 log 3.
  const auto table = [](float a, float b) {
    return [a, b](TokenId, TokenId next) { return next == 'a' ? std::log(a) : next == 'b' ? std::log(b) : -100.0f; };
  };
  const BigramModel p(table(0.75f, 0.25f)), q(table(0.25f, 0.75f));
  const PerplexityResult r = measure(q, std::string(511, 'a'), 128, &p);
  ASSERT_TRUE(r.divergence);
  EXPECT_NEAR(r.divergence->kl_mean, 0.5 * std::log(3.0), 1e-6);
  EXPECT_NEAR(r.divergence->kl_p99, 0.5 * std::log(3.0), 1e-6);
  EXPECT_EQ(r.divergence->top1_agreement, 0);
  EXPECT_NEAR(r.divergence->reference_perplexity, 4.0 / 3, 1e-6);
  EXPECT_NEAR(r.perplexity, 4, 1e-5);
  const PerplexityResult same = measure(p, std::string(511, 'a'), 128, &p);
  EXPECT_NEAR(same.divergence->kl_mean, 0, 1e-12);
  EXPECT_EQ(same.divergence->top1_agreement, 1);
}

TEST(Perplexity, PercentileIsOfTheScoredPositions) {
  // The two models differ only after 'b', which is every hundredth token.
  std::string text;
  for (int i = 0; i < 8191; ++i) text += i % 100 == 0 ? 'b' : 'a';
  const BigramModel p([](TokenId, TokenId next) { return next == 'a' ? 1.0f : 0.0f; });
  const BigramModel q([](TokenId last, TokenId next) { return next == 'a' ? (last == 'b' ? 3.0f : 1.0f) : 0.0f; });
  const PerplexityResult r = measure(q, text, 64, &p);
  EXPECT_GT(r.divergence->kl_max, 0.001);
  EXPECT_NEAR(r.divergence->kl_mean, r.divergence->kl_max / 100, r.divergence->kl_max / 500);
  EXPECT_GT(r.divergence->kl_stderr, 0);
}

TEST(Perplexity, MaxTokensAreOfTheText) {
  const BigramModel model([](TokenId, TokenId) { return 0.0f; });
  EXPECT_EQ(measure(model, std::string(1000, 'x'), 64, nullptr, 200).chunks, 3u);
}

TEST(Perplexity, RefusesWhatMakesNoSense) {
  const BigramModel model([](TokenId, TokenId) { return 0.0f; }, 128);
  EXPECT_THROW(measure(model, "short", 64), Error);                  // the text has less than one chunk
  EXPECT_THROW(measure(model, std::string(1000, 'x'), 256), Error);  // the chunk is longer than the model allows
  EXPECT_THROW(measure(model, std::string(1000, 'x'), 2), Error);    // a chunk of 2 tokens has nothing to score
  EXPECT_THROW(measure(model, std::string(1000, 'x'), 64, nullptr, 3), Error);
}

TEST(Perplexity, NaNIsAnError) {
  const BigramModel model([](TokenId, TokenId next) { return next == 7 ? NAN : 0.0f; });
  EXPECT_THROW(measure(model, std::string(1000, 'x'), 64), Error);
}

TEST(Perplexity, LogPartitionHasNoOverflow) {
  const std::vector<float> big = {1000.0f, 1000.0f}, mixed = {0.0f, 1.0f, -2.0f};
  EXPECT_NEAR(log_partition(big), 1000 + std::log(2.0), 1e-9);
  EXPECT_NEAR(log_partition(mixed), std::log(1 + std::exp(1.0) + std::exp(-2.0)), 1e-6);
}

// The folder and the GGUF file of the model must give the same figure. tests/cli/evaluate_test.sh compares the figure
// itself with that of llama.cpp.
TEST(Perplexity, OfARealModelFromFolderAndGguf) {
  OCC_REQUIRE_DATA(folder, "models/stories260k");
  OCC_REQUIRE_DATA(path, "text/tinystories_a.txt");
  std::string text(30'000, '\0');
  std::FILE* file = std::fopen(path.c_str(), "rb");
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(std::fread(text.data(), 1, text.size(), file), text.size());
  std::fclose(file);
  const LanguageModel a = open_language_model(folder.string(), {.arithmetic = Arithmetic::kF32, .observer = {}});
  const LanguageModel b =
      open_language_model((folder / "model-f32.gguf").string(), {.arithmetic = Arithmetic::kF32, .observer = {}});
  PerplexityOptions options;
  options.context = 256;
  const PerplexityResult r =
      measure_perplexity(*a.transformer, *a.tokenizer, text, "text", b.transformer.get(), options);
  EXPECT_NEAR(r.perplexity, 7, 1);
  EXPECT_LT(r.divergence->kl_mean, 1e-8);
  EXPECT_GT(r.divergence->top1_agreement, 0.9999);
  EXPECT_EQ(a.tokenizer->encode(text), b.tokenizer->encode(text));
}

}  // namespace
}  // namespace occ
