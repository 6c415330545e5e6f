#include "model/generate.h"

#include <gmock/gmock.h>

#include "model/fakes_for_test.h"
#include "occ/error.h"

namespace occ {
namespace {

size_t shown(const std::string& text, const std::vector<std::string>& stop, bool expect_stopped = false) {
  bool stopped = false;
  const size_t length = shown_length(text, stop, &stopped);
  EXPECT_EQ(stopped, expect_stopped) << text;
  return length;
}

TEST(ShownLength, HoldsBackUnfinishedCharacters) {
  EXPECT_EQ(shown("", {}), 0u);
  EXPECT_EQ(shown("abc", {}), 3u);
  const std::string euro = "a\xe2\x82\xac";  // three bytes
  EXPECT_EQ(shown(euro, {}), 4u);
  EXPECT_EQ(shown(euro.substr(0, 3), {}), 1u);
  EXPECT_EQ(shown(euro.substr(0, 2), {}), 1u);
  const std::string smile = "\xf0\x9f\x98\x80";
  EXPECT_EQ(shown(smile, {}), 4u);
  for (size_t n = 1; n < 4; ++n) EXPECT_EQ(shown(smile.substr(0, n), {}), 0u);
  EXPECT_EQ(shown("a\x80\x80\x80\x80", {}), 5u);  // not UTF-8 at all: nothing to wait for
}

TEST(ShownLength, HoldsBackBeginningsOfStopTexts) {
  EXPECT_EQ(shown("one\nU", {"\nUser:"}), 3u);
  EXPECT_EQ(shown("one\nUx", {"\nUser:"}), 6u);
  EXPECT_EQ(shown("one\nUser: no", {"\nUser:"}, true), 3u);
  EXPECT_EQ(shown("aab", {"ab", "b"}, true), 1u);
  EXPECT_EQ(shown("abc", {""}), 3u);
}

// Each letter is followed by the next one.
const BigramModel::TableFn kAlphabet = [](TokenId last, TokenId next) { return next == last + 1 ? 5.0f : 0.0f; };

std::vector<TokenId> bytes(const std::string& text) { return ByteTokenizer().encode(text, {.add_special = false}); }

TEST(Generate, StreamsWhatItReturns) {
  const BigramModel model(kAlphabet);
  const ByteTokenizer tokenizer;
  Generator generator(model, tokenizer, 64);
  std::string streamed;
  GenerateOptions options;
  options.max_tokens = 5;
  const Generated g = generator.run(bytes("ab"), options, [&](std::string_view s) { streamed += s; });
  EXPECT_EQ(g.text, "cdefg");
  EXPECT_EQ(streamed, g.text);
  EXPECT_EQ(g.tokens, 5u);
  EXPECT_EQ(g.end, Generated::End::kLength);
}

TEST(Generate, EndsAtStopTextEndOfTextAndFullContext) {
  const ByteTokenizer tokenizer;
  const BigramModel model(kAlphabet);
  Generator generator(model, tokenizer, 10);
  GenerateOptions options;
  options.stop = {"fg"};
  std::string streamed;
  Generated g = generator.run(bytes("ab"), options, [&](std::string_view s) { streamed += s; });
  EXPECT_EQ(g.text, "cde");
  EXPECT_EQ(streamed, "cde");
  EXPECT_EQ(g.end, Generated::End::kStop);

  options.stop = {};
  g = generator.run(bytes("ab"), options, nullptr);
  EXPECT_EQ(g.end, Generated::End::kContext);
  EXPECT_EQ(g.text, "cdefghijk");  // the cache holds ab and eight of them, the last one came after

  const BigramModel ends([](TokenId last, TokenId next) { return next == (last == 'b' ? 'c' : 0) ? 5.0f : 0.0f; });
  Generator other(ends, tokenizer, 10);
  g = other.run(bytes("ab"), options, nullptr);
  EXPECT_EQ(g.text, "c");
  EXPECT_EQ(g.end, Generated::End::kEndOfText);
  options.ignore_end = true;
  options.max_tokens = 4;
  EXPECT_EQ(other.run(bytes("ab"), options, nullptr).tokens, 4u);
}

TEST(Generate, KnownBeginningsCostNothing) {
  const BigramModel model(kAlphabet);
  const ByteTokenizer tokenizer;
  Generator generator(model, tokenizer, 64);
  GenerateOptions options;
  options.max_tokens = 3;
  EXPECT_EQ(generator.run(bytes("abc"), options, nullptr).prompt_tokens, 3u);
  const size_t before = model.tokens_seen().size();
  // abc and the answers d, e are in the cache (f was chosen, not fed); the rest is new.
  const Generated g = generator.run(bytes("abcdefxy"), options, nullptr);
  EXPECT_EQ(g.prompt_tokens, 3u);
  EXPECT_EQ(g.text, "z{|");
  EXPECT_EQ(model.tokens_seen().size() - before, 3u + 2);
  // The same prompt again: its last token is fed, for its logits.
  EXPECT_EQ(generator.run(bytes("abc"), options, nullptr).prompt_tokens, 1u);
}

TEST(Generate, RefusesEmptyAndLongPrompts) {
  const BigramModel model(kAlphabet);
  const ByteTokenizer tokenizer;
  Generator generator(model, tokenizer, 4);
  EXPECT_THROW(generator.run({}, {}, nullptr), Error);
  EXPECT_THROW(generator.run(bytes("abcde"), {}, nullptr), Error);
  EXPECT_EQ(generator.run(bytes("abcd"), {}, nullptr).text, "e");
}

std::vector<int> draws(const SamplingOptions& options, const std::vector<float>& logits, int count) {
  Sampler sampler(options);
  std::vector<int> counts(logits.size());
  for (int i = 0; i < count; ++i) ++counts[static_cast<size_t>(sampler.next(logits))];
  return counts;
}

TEST(Sampler, FrequenciesAreTheSoftmaxAtTheTemperature) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.25f), std::log(0.25f)};
  std::vector<int> counts = draws({.temperature = 1}, logits, 40000);
  EXPECT_NEAR(counts[0], 20000, 400);  // four standard deviations
  EXPECT_NEAR(counts[1], 10000, 350);
  counts = draws({.temperature = 0.5}, logits, 40000);  // p^2: 4 : 1 : 1
  EXPECT_NEAR(counts[0], 40000 * 2 / 3, 400);
  counts = draws({.temperature = 0}, logits, 10);
  EXPECT_THAT(counts, testing::ElementsAre(10, 0, 0));
}

TEST(Sampler, TopKAndTopPCutTheTail) {
  const std::vector<float> logits = {std::log(0.1f), std::log(0.6f), std::log(0.3f)};
  EXPECT_EQ(draws({.temperature = 1, .top_k = 2}, logits, 2000)[0], 0);
  EXPECT_THAT(draws({.temperature = 1, .top_p = 0.5}, logits, 100), testing::ElementsAre(0, 100, 0));
  const std::vector<int> two = draws({.temperature = 1, .top_p = 0.7f}, logits, 9000);  // .6 is not enough: two of them
  EXPECT_EQ(two[0], 0);
  EXPECT_NEAR(two[1], 6000, 200);
}

TEST(Sampler, TheSeedDecides) {
  const std::vector<float> logits(50, 0.0f);
  const auto run = [&](uint64_t seed) {
    Sampler s({.temperature = 1, .seed = seed});
    std::vector<TokenId> out;
    for (int i = 0; i < 20; ++i) out.push_back(s.next(logits));
    return out;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

TEST(Sampler, NaNIsAnError) { EXPECT_THROW(Sampler({}).next(std::vector<float>{0, NAN, 1}), Error); }

TEST(Sampler, RefusesWhatMakesNoSense) {
  EXPECT_THROW(Sampler({.temperature = -1}), Error);
  EXPECT_THROW(Sampler({.temperature = NAN}), Error);
  EXPECT_THROW(Sampler({.top_p = 0}), Error);
  EXPECT_THROW(Sampler({.top_p = 1.5}), Error);
}

}  // namespace
}  // namespace occ
