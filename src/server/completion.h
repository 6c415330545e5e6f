// One completion: what is asked for, and what the thread of the scheduler tells the thread of the connection about it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/generate.h"

namespace occ {

struct CompletionRequest {
  std::vector<TokenId> prompt;  // at least one token
  GenerateOptions options;
  bool score_prompt = false;           // also the log-probabilities of the prompt's tokens
  std::optional<size_t> top_logprobs;  // log-probabilities of the tokens, beside those of so many likeliest ones
};

// A token with the natural logarithm of its probability, at temperature 1 and without top-k and top-p.
struct ScoredToken {
  TokenId token = 0;
  std::optional<float> logprob;                // none for the first token of a prompt
  std::vector<std::pair<TokenId, float>> top;  // the likeliest tokens, the first one first
};
// Scores `token` by the logits [vocab_size] in front of it.
ScoredToken score_token(std::span<const float> logits, TokenId token, size_t top);

// What became of a completion since the last look.
struct CompletionNews {
  std::string text;
  std::vector<ScoredToken> scores;  // first those of the prompt, if asked for
  size_t tokens = 0;                // generated so far
  size_t reused_tokens = 0;         // of the prompt, whose keys and values were known from other prompts
  std::optional<Generated::End> end;
  std::string error;  // why it failed; then there is an end, too
  int status = 200;   // of HTTP, for the error
};

// What the completions of one request have in common: whoever waits for them waits for any.
struct Mailbox {
  std::mutex mutex;
  std::condition_variable changed;
};

class Completion {
 public:
  using Clock = std::chrono::steady_clock;
  Completion(CompletionRequest request, Clock::time_point deadline, std::shared_ptr<Mailbox> mailbox)
      : request_(std::move(request)), deadline_(deadline), mailbox_(std::move(mailbox)) {}
  const CompletionRequest& request() const { return request_; }
  Clock::time_point deadline() const { return deadline_; }

  // For the connection: what is new, if anything is. After news with an end there are none.
  std::optional<CompletionNews> news();
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }

  // For the scheduler.
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  void tell(std::string text, std::vector<ScoredToken> scores, size_t tokens);
  void reused(size_t tokens);
  void finish(Generated::End end, std::string error = {}, int status = 500);

 private:
  friend void wait_for_news(std::span<const std::shared_ptr<Completion>> completions, std::chrono::milliseconds most);
  bool has_news() const;  // with the mailbox locked

  const CompletionRequest request_;
  const Clock::time_point deadline_;
  const std::shared_ptr<Mailbox> mailbox_;
  std::atomic<bool> cancelled_{false};
  CompletionNews news_;
  bool over_ = false;  // the end was returned
};

// Waits until one of the completions, which share a mailbox, has news; for at most so long.
void wait_for_news(std::span<const std::shared_ptr<Completion>> completions, std::chrono::milliseconds most);

}  // namespace occ
