#include "evaluation/tasks.h"

#include <gmock/gmock.h>

#include <fstream>

#include "model/fakes_for_test.h"
#include "occ/error.h"
#include "test_data.h"

namespace occ {
namespace {

Task task_of(const std::string& lines) {
  const TempFolder folder;
  std::ofstream(folder / "made.jsonl") << lines;
  return read_task(folder / "made.jsonl");
}

void expect_refused(const std::string& lines, const std::string& says) {
  try {
    task_of(lines);
    FAIL() << "accepted: " << lines;
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    EXPECT_THAT(e.what(), testing::HasSubstr(says));
  }
}

// A model that prefers 'g': a 'b' costs 1 nat more than a 'g', and every other byte costs 2 nats more.
const BigramModel kLikesG([](TokenId, TokenId next) { return next == 'g' ? 0.0f : next == 'b' ? -1.0f : -2.0f; });

TEST(Tasks, ChoicesAreScoredAfterTheAnswer) {
  const Task task = task_of(R"({"query": "Question: q\n", "choices": ["bb", "ggb"], "gold": 1})");
  ASSERT_EQ(task.items.size(), 1u);
  EXPECT_EQ(task.name, "made");
  EXPECT_EQ(task.items[0].choices[0].context, "Question: q\nAnswer:");
  EXPECT_EQ(task.items[0].choices[0].continuation, " bb");
  EXPECT_EQ(task.items[0].choices[1].bytes, 3);
}

TEST(Tasks, AccIsOfSumsAndAccNormPerByte) {
  // With c = log Z a 'g' costs c nats. The choice " b" costs (2 + c) + (1 + c), and " gggggg" costs (2 + c) + 6 c. The
  // short choice has the smaller sum; after division by the bytes, 1 and 6, the long choice costs less.
  const Task task = task_of(R"({"query": "q", "choices": ["b", "gggggg"], "gold": 1})");
  const TaskResult r = measure_task(kLikesG, ByteTokenizer(), task);
  EXPECT_EQ(r.n, 1u);
  EXPECT_EQ(r.acc, 0);
  EXPECT_EQ(r.acc_norm, 1);
}

TEST(Tasks, TokensThatATokenizerPutsBehindTextsAreNotScored) {
  const Task task = task_of(R"({"query": "q", "choices": ["g", "b"], "gold": 0})");
  for (const bool adds_end : {false, true}) EXPECT_EQ(measure_task(kLikesG, ByteTokenizer(adds_end), task).acc, 1);
}

TEST(Tasks, ContextOptionsAreComparedOnOneContinuation) {
  // The continuation begins with a space after the last byte of its context.
  const BigramModel model([](TokenId last, TokenId next) { return last == 'y' && next == ' ' ? 1.0f : 0.0f; });
  const Task task = task_of(R"({"context_options": ["the x", "the y"], "continuation": "came.", "gold": 1}
{"context_options": ["the x", "the y"], "continuation": "came.", "gold": 0})");
  const TaskResult r = measure_task(model, ByteTokenizer(), task);
  EXPECT_EQ(r.n, 2u);
  EXPECT_EQ(r.acc, 0.5);
  EXPECT_EQ(r.acc_norm, 0.5);
  EXPECT_NEAR(r.acc_stderr, 0.5, 1e-12);  // sqrt(p (1 - p) / (n - 1))
}

TEST(Tasks, LastWordMustBeTheLikeliestTokenByToken) {
  const BigramModel model([](TokenId last, TokenId next) {
    return (last == 'n' && next == ' ') || (last == ' ' && next == 'a') || (last == 'a' && next == 'b') ? 5.0f : 0.0f;
  });
  const Task task = task_of(R"({"context": "then", "continuation": "ab"}
{"context": "then", "continuation": "ac"}
{"context": "then ", "continuation": "a"})");
  EXPECT_NEAR(measure_task(model, ByteTokenizer(), task).acc, 2.0 / 3, 1e-12);
}

TEST(Tasks, SharedBeginningsRunOnce) {
  const BigramModel model([](TokenId, TokenId) { return 0.0f; });
  const Task task = task_of(R"({"query": "a long question", "choices": ["one", "two", "three"], "gold": 1})");
  measure_task(model, ByteTokenizer(), task);
  // BOS and "a long question\nAnswer:" without its last byte go through the model once. That byte, a space and the
  // choice go through it for every choice.
  EXPECT_EQ(model.tokens_seen().size(), 1 + 15 + 8 - 1 + 3 * (1 + 1) + 3 + 3 + 5);
}

TEST(Tasks, CutsFromTheLeftWhatTheModelCannotTake) {
  const BigramModel model([](TokenId last, TokenId next) { return last == 'z' && next == ' ' ? 9.0f : 0.0f; }, 16);
  const std::string longer(100, 'y');
  const Task task = task_of(R"({"context": ")" + longer + R"(z", "continuation": "c"})");
  const TaskResult r = measure_task(model, ByteTokenizer(), task);
  EXPECT_EQ(r.n, 1u);
  EXPECT_EQ(model.tokens_seen().size(), 16u);
}

TEST(Tasks, NothingToScoreAndNaNAreErrors) {
  const BigramModel nan([](TokenId, TokenId) { return NAN; });
  const Task task = task_of(R"({"context": "then", "continuation": "ab"})");
  EXPECT_THROW(measure_task(nan, ByteTokenizer(), task), Error);
}

TEST(Tasks, BadFilesNameTheLine) {
  expect_refused("", "expected one JSON object a line");
  expect_refused("{\"query\": \"a\"}", "line 1: expected the keys");
  expect_refused(R"({"context": "a", "continuation": "b"}
not json)",
                 "line 2");
  expect_refused(R"({"query": "q", "choices": ["a", "b"], "gold": 2})", "'gold'");
  expect_refused(R"({"query": "q", "choices": ["a", "b"], "gold": -1})", "'gold'");
  expect_refused(R"({"query": "q", "choices": ["a"], "gold": 0})", "'choices'");
  expect_refused(R"({"query": 7, "choices": ["a", "b"], "gold": 0})", "'query'");
  expect_refused("[1, 2]", "expected a JSON object");
  EXPECT_THROW(read_task("/nonexistent/task.jsonl"), Error);
}

TEST(Tasks, RealFilesAreRead) {
  OCC_REQUIRE_DATA(folder, "tasks");
  EXPECT_EQ(read_task(folder / "arc_easy.jsonl").items[0].choices.size(), 4u);
  EXPECT_EQ(read_task(folder / "piqa.jsonl", 10).items.size(), 10u);
  EXPECT_EQ(read_task(folder / "winogrande.jsonl").items[0].choices[0].continuation, " always got the easier cases.");
  EXPECT_EQ(read_task(folder / "lambada_openai.jsonl").items[0].choices.size(), 1u);
}

}  // namespace
}  // namespace occ
