#include "server/scheduler.h"

#include <gmock/gmock.h>

#include "io/expect_error_for_test.h"
#include "model/fakes_for_test.h"
#include "model/tiny_models_for_test.h"

namespace occ {
namespace {

using Clock = Completion::Clock;
using End = Generated::End;

struct Finished {
  std::string text;
  std::vector<ScoredToken> scores;
  CompletionNews last;
};

// A request and what became of it.
struct Asked {
  std::shared_ptr<Completion> completion;
  explicit Asked(CompletionRequest request, double seconds = 100)
      : completion(std::make_shared<Completion>(
            std::move(request), Clock::now() + std::chrono::milliseconds(static_cast<int64_t>(1000 * seconds)),
            std::make_shared<Mailbox>())) {}
  bool submit(Scheduler& scheduler) const { return scheduler.submit({&completion, 1}); }
  Finished result() const {
    Finished all;
    while (!all.last.end) {
      wait_for_news({&completion, 1}, std::chrono::seconds(20));
      const auto news = completion->news();
      if (!news) throw std::runtime_error("no news");
      all.text += news->text;
      all.scores.insert(all.scores.end(), news->scores.begin(), news->scores.end());
      all.last = *news;
    }
    EXPECT_FALSE(completion->news().has_value()) << "nothing comes after the end";
    return all;
  }
};

// Each letter is followed by the next one.
const BigramModel::TableFn kAlphabet = [](TokenId last, TokenId next) { return next == last + 1 ? 5.0f : 0.0f; };

CompletionRequest request_of(const std::string& prompt, size_t max_tokens) {
  CompletionRequest request;
  request.prompt = ByteTokenizer().encode(prompt, {.add_special = false});
  request.options.max_tokens = max_tokens;
  return request;
}

// With a real model: lengths on both sides of a piece, greedy and sampled, three at a time, in two orders.
TEST(Scheduler, AnswersAreThoseOfGeneratorWhateverRunsBeside) {
  std::string config = read_text_for_test(tiny_models_folder() / "llama" / "plain.config.json");
  config.replace(config.find("\"max_position_embeddings\": 128"), 30, "\"max_position_embeddings\": 2000");
  const TinyModel tiny("llama", "plain", config);
  const auto file = tiny.open();
  const auto model = load_transformer(*file);
  const ByteTokenizer tokenizer;
  std::vector<CompletionRequest> requests;
  for (size_t i = 0; i < 12; ++i) {
    CompletionRequest r;
    const size_t length = i % 3 == 0 ? 3 + i : kPromptPiece * (i % 3) + 9 * i;
    for (size_t t = 0; t < length; ++t) r.prompt.push_back(static_cast<TokenId>((t * t + (i % 2 == 0 ? 0 : t)) % 61));
    r.options.max_tokens = 6 + i;
    r.options.ignore_end = true;
    r.options.sampling = {i % 4 == 0 ? 0.0f : 1.5f, 0, 0.9f, i};
    requests.push_back(r);
  }
  std::vector<std::string> expected;
  for (const CompletionRequest& r : requests) {
    expected.push_back(Generator(*model, tokenizer, 2000).run(r.prompt, r.options, nullptr).text);
  }
  Scheduler scheduler(*model, tokenizer, {.context = 2000, .parallel = 3, .queue = 12});
  for (const bool backwards : {false, true}) {
    std::vector<Asked> asked;
    for (size_t i = 0; i < requests.size(); ++i) {
      asked.emplace_back(requests[backwards ? requests.size() - 1 - i : i]);
      ASSERT_TRUE(asked.back().submit(scheduler));
    }
    for (size_t i = 0; i < requests.size(); ++i) {
      const Finished found = asked[i].result();
      EXPECT_EQ(found.text, expected[backwards ? requests.size() - 1 - i : i]) << i << " " << backwards;
      EXPECT_EQ(found.last.error, "");
    }
  }
  const SchedulerCounts counts = scheduler.counts();
  EXPECT_EQ(counts.finished, 24u);
  EXPECT_GT(counts.reused_tokens, 10 * kPromptPiece);
  EXPECT_EQ(counts.running + counts.waiting + counts.cancelled + counts.failed, 0u);
}

TEST(Scheduler, ScoresAreLogProbabilities) {
  const BigramModel model(kAlphabet);
  const ByteTokenizer tokenizer;
  Scheduler scheduler(model, tokenizer, {.context = 2000, .parallel = 1});
  CompletionRequest request = request_of("ab" + std::string(kPromptPiece, 'x') + "y", 2);
  request.score_prompt = true;
  request.top_logprobs = 2;
  const Asked asked(request);
  ASSERT_TRUE(asked.submit(scheduler));
  const Finished found = asked.result();
  EXPECT_EQ(found.text, "z{");
  const double log_sum = std::log(std::exp(5.0) + kFakeVocab - 1);
  ASSERT_EQ(found.scores.size(), request.prompt.size() + 2);
  for (size_t i = 0; i < found.scores.size(); ++i) {
    const ScoredToken& s = found.scores[i];
    if (i < request.prompt.size()) {
      EXPECT_EQ(s.token, request.prompt[i]);
    }
    ASSERT_EQ(s.logprob.has_value(), i > 0);
    if (i == 0) continue;
    const TokenId before = found.scores[i - 1].token;
    EXPECT_NEAR(*s.logprob, (s.token == before + 1 ? 5 : 0) - log_sum, 1e-5) << i;
    ASSERT_EQ(s.top.size(), 2u);
    EXPECT_EQ(s.top[0].first, before + 1);
    EXPECT_NEAR(s.top[1].second, -log_sum, 1e-5);
  }
}

TEST(Scheduler, RefusesWhatCannotWait) {
  const BigramModel model([](TokenId, TokenId next) { return next == 'x' ? 5.0f : 0.0f; }, size_t{1} << 30);
  const ByteTokenizer tokenizer;
  Scheduler scheduler(model, tokenizer, {.context = 1u << 30, .parallel = 1, .queue = 2});
  EXPECT_EQ(scheduler.most_at_once(), 3u);
  std::vector<Asked> asked;
  for (size_t i = 0; i < 3; ++i) {
    asked.emplace_back(request_of("a", 1u << 29));
    ASSERT_TRUE(asked.back().submit(scheduler));
  }
  EXPECT_FALSE(Asked(request_of("a", 1)).submit(scheduler));
  asked[2].completion->cancel();
  EXPECT_EQ(asked[2].result().last.error, "its time was over before its turn came") << "nobody listens";
  EXPECT_TRUE(Asked(request_of("a", 1)).submit(scheduler)) << "the cancelled one has left the queue";
  asked[0].completion->cancel();
  EXPECT_EQ(asked[0].result().last.end, End::kLength);
  scheduler.close(0);
  EXPECT_EQ(asked[1].result().last.status, 503);
  EXPECT_FALSE(Asked(request_of("a", 1)).submit(scheduler));
}

TEST(Scheduler, TimeEndsAnswers) {
  const BigramModel model([](TokenId, TokenId next) { return next == 'x' ? 5.0f : 0.0f; }, size_t{1} << 30);
  const ByteTokenizer tokenizer;
  Scheduler scheduler(model, tokenizer, {.context = 1u << 30, .parallel = 1, .queue = 2});
  const Asked first(request_of("a", 1u << 29), 0.1), second(request_of("a", 5), 0.05);
  ASSERT_TRUE(first.submit(scheduler));
  ASSERT_TRUE(second.submit(scheduler));
  EXPECT_EQ(second.result().last.status, 503) << "it never had its turn";
  const Finished found = first.result();
  EXPECT_EQ(found.last.end, End::kLength);
  EXPECT_EQ(found.last.error, "");
  EXPECT_GT(found.text.size(), 10u);
}

TEST(Scheduler, OneBadAnswerLeavesTheOthersAlone) {
  const BigramModel model([](TokenId last, TokenId next) {
    return last == 'n' ? NAN : next == last + 1 ? 5.0f : 0.0f;
  });
  const ByteTokenizer tokenizer;
  Scheduler scheduler(model, tokenizer, {.context = 100, .parallel = 2});
  const Asked good(request_of("A", 10)), bad(request_of("l", 10)), after(request_of("B", 3));
  for (const Asked* a : {&good, &bad, &after}) ASSERT_TRUE(a->submit(scheduler));
  EXPECT_EQ(good.result().text, "BCDEFGHIJK");
  const Finished failed = bad.result();
  EXPECT_THAT(failed.last.error, testing::HasSubstr("not numbers"));
  EXPECT_EQ(failed.last.status, 500);
  EXPECT_EQ(after.result().text, "CDE");
}

// Two conversations that begin alike, in turn: each one's own tokens stay known while there are free slots.
TEST(Scheduler, ConversationsInTurnKeepWhatIsKnown) {
  const BigramModel model(kAlphabet);
  const ByteTokenizer tokenizer;
  Scheduler scheduler(model, tokenizer, {.context = 2000, .parallel = 8});
  const std::string begin(kPromptPiece, 'x');
  const std::string a = begin + std::string(2 * kPromptPiece + 4, 'a'), b = begin + std::string(kPromptPiece + 4, 'b');
  std::vector<size_t> reused;
  for (const std::string* prompt : {&a, &b, &a, &b, &a}) {
    const Asked asked(request_of(*prompt, 1));
    ASSERT_TRUE(asked.submit(scheduler));
    reused.push_back(asked.result().last.reused_tokens);
  }
  EXPECT_THAT(reused, testing::ElementsAre(0u, kPromptPiece, 3 * kPromptPiece, 2 * kPromptPiece, 3 * kPromptPiece));
}

TEST(Scheduler, FullContextAndNoTokens) {
  const BigramModel model(kAlphabet);
  const ByteTokenizer tokenizer;
  Scheduler scheduler(model, tokenizer, {.context = 4, .parallel = 1});
  const Asked full(request_of("abc", 10)), none(request_of("abc", 0));
  ASSERT_TRUE(full.submit(scheduler));
  ASSERT_TRUE(none.submit(scheduler));
  Finished found = full.result();
  EXPECT_EQ(found.text, "de");
  EXPECT_EQ(found.last.end, End::kContext);
  found = none.result();
  EXPECT_EQ(found.text, "");
  EXPECT_EQ(found.last.end, End::kLength);
  EXPECT_USAGE_ERROR(Scheduler(model, tokenizer, {.context = 4, .parallel = 0}), "at least one");
}

}  // namespace
}  // namespace occ
