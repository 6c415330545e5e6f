// Runs the completions of many users on one model. One thread owns the model. In turn it feeds one piece of a prompt and
// makes one step for all answers that are under way, whose next tokens go through the model together.
//
// An answer depends on its request alone, bit for bit, whatever runs beside it or ran before: a prompt is cut into
// pieces at fixed places, of which only whole ones are taken from other prompts, and at most kInputsAsAlone answers make
// a step together. So answers equal those of Generator for the same prompt, options and capacity.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "model/generate.h"
#include "server/completion.h"

namespace occ {

struct SchedulerOptions {
  size_t context = 4096;  // tokens of a prompt and its answer; at most what the model takes
  size_t parallel = 8;    // answers at once, each with a KV cache of its own
  size_t queue = 64;      // most completions that wait for their turn
};

struct SchedulerCounts {
  uint64_t prompt_tokens = 0, reused_tokens = 0, generated_tokens = 0;
  uint64_t finished = 0, cancelled = 0, failed = 0;
  double prompt_seconds = 0, step_seconds = 0;  // of the model
  size_t running = 0, waiting = 0;
};

class Scheduler {
 public:
  // model and tokenizer must outlive it. Throws a usage error for numbers of which nothing can run.
  Scheduler(const Transformer& model, const Tokenizer& tokenizer, const SchedulerOptions& options);
  ~Scheduler();  // ends with close(0)
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  size_t context() const { return context_; }
  size_t most_at_once() const { return slots_.size() + options_.queue; }
  // Takes all of them, or none and returns false: if so many cannot wait now, or after close().
  bool submit(std::span<const std::shared_ptr<Completion>> completions);
  // Takes nothing more, waits up to so many seconds for what is under way, and cancels the rest.
  void close(double seconds);
  SchedulerCounts counts() const;

 private:
  struct Slot;
  void run();
  bool admit();  // false after close()
  void start(std::shared_ptr<Completion> completion);
  void feed(Slot& slot);                                          // one piece of the prompt
  void score_prompt(Slot& slot, MatrixView<const float> hidden);  // of the last piece
  void step(std::span<Slot* const> slots);                        // one token each
  void take(Slot& slot, std::span<const float> logits);           // chooses the next token
  void tell(Slot& slot);
  void end(Slot& slot, Answer::End end, std::string error = {}, int status = 500);
  // Calls body. If it throws, the completions of the slots end with the error.
  void guard(std::span<Slot* const> slots, const std::function<void()>& body);
  void guard(Slot& slot, const std::function<void()>& body) {
    Slot* one = &slot;
    guard({&one, 1}, body);
  }

  const Transformer& model_;
  const Tokenizer& tokenizer_;
  SchedulerOptions options_;
  size_t context_;
  std::vector<std::unique_ptr<Slot>> slots_;
  Matrix<float> logits_;  // [kInputsAsAlone, vocab_size]
  uint64_t clock_ = 0;    // of the use of slots
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Completion>> waiting_;
  SchedulerCounts counts_;
  bool closed_ = false, stopping_ = false;
  std::thread thread_;
};

}  // namespace occ
