#include "server/scheduler.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "operators/operator.h"

namespace occ {

using Clock = Completion::Clock;

namespace {

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

struct Scheduler::Slot {
  std::unique_ptr<KvCache> cache;
  std::vector<TokenId> pieces;  // tokens of whole pieces of a prompt at the beginning of the cache
  uint64_t used = 0;
  std::shared_ptr<Completion> completion;  // null: the slot is free
  size_t fed = 0;                          // tokens of the prompt in the cache
  TokenId next = 0;
  std::optional<Sampler> sampler;
  std::optional<Answer> answer;
  std::vector<ScoredToken> scores;  // not told yet

  const std::vector<TokenId>& prompt() const { return completion->request().prompt; }
  bool in_prompt() const { return completion != nullptr && fed < prompt().size(); }
  bool in_answer() const { return completion != nullptr && fed == prompt().size(); }
};

Scheduler::Scheduler(const Transformer& model, const Tokenizer& tokenizer, const SchedulerOptions& options)
    : model_(model),
      tokenizer_(tokenizer),
      options_(options),
      logits_(Matrix<float>::uninitialized(kInputsAsAlone, model.config().vocab_size)) {
  if (options.context == 0 || options.parallel == 0) throw_usage("expected room for at least one token of one answer");
  const size_t most = model.config().max_context;
  context_ = most == 0 ? options.context : std::min(most, options.context);
  for (size_t i = 0; i < options.parallel; ++i) {
    slots_.push_back(std::make_unique<Slot>());
    slots_.back()->cache = model.make_cache(context_);
  }
  thread_ = std::thread([this] { run(); });
}

Scheduler::~Scheduler() { close(0); }

bool Scheduler::submit(std::span<const std::shared_ptr<Completion>> completions) {
  {
    const std::lock_guard lock(mutex_);
    const size_t free = slots_.size() - counts_.running;
    if (closed_ || waiting_.size() + completions.size() > options_.queue + free) return false;
    waiting_.insert(waiting_.end(), completions.begin(), completions.end());
  }
  changed_.notify_all();
  return true;
}

void Scheduler::close(double seconds) {
  {
    std::unique_lock lock(mutex_);
    closed_ = true;
    const auto idle = [&] { return waiting_.empty() && counts_.running == 0; };
    changed_.wait_for(lock, std::chrono::duration<double>(seconds), idle);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

SchedulerCounts Scheduler::counts() const {
  const std::lock_guard lock(mutex_);
  SchedulerCounts counts = counts_;
  counts.waiting = waiting_.size();
  return counts;
}

void Scheduler::run() {
  while (admit()) {
    Slot* oldest = nullptr;
    for (const auto& slot : slots_) {
      if (slot->in_prompt() && (oldest == nullptr || slot->used < oldest->used)) oldest = slot.get();
    }
    if (oldest != nullptr) guard(*oldest, [&] { feed(*oldest); });
    std::vector<Slot*> answering;
    for (const auto& slot : slots_) {
      if (slot->in_answer()) answering.push_back(slot.get());
    }
    for (size_t i = 0; i < answering.size(); i += kInputsAsAlone) {
      const auto together = std::span(answering).subspan(i, std::min(kInputsAsAlone, answering.size() - i));
      guard(together, [&] { step(together); });
    }
  }
}

// Ends what must not go on, and gives free slots to what waits. Waits if there is nothing to do.
bool Scheduler::admit() {
  std::vector<std::shared_ptr<Completion>> over, next;
  bool stopping = false;
  const auto must_end = [&](const Completion& c) { return stopping || c.cancelled() || Clock::now() >= c.deadline(); };
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopping_ || !waiting_.empty() || counts_.running > 0; });
    stopping = stopping_;
    std::erase_if(waiting_, [&](const std::shared_ptr<Completion>& c) {  // also while all slots are busy
      if (!must_end(*c)) return false;
      ++(c->cancelled() ? counts_.cancelled : counts_.failed);
      over.push_back(c);
      return true;
    });
    for (; !waiting_.empty() && counts_.running < slots_.size(); ++counts_.running) {
      next.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
  }
  constexpr const char* kStopping = "the server is shutting down";
  for (const auto& c : over) {
    c->finish(Answer::End::kLength, stopping ? kStopping : "its time was over before its turn came", 503);
  }
  for (auto& completion : next) start(std::move(completion));
  for (const auto& slot : slots_) {
    if (slot->completion != nullptr && must_end(*slot->completion)) {
      end(*slot, Answer::End::kLength, stopping ? kStopping : "", 503);
    }
  }
  return !stopping;
}

// Takes a free slot. Whole pieces that the prompt has in common with another one are taken from there.
void Scheduler::start(std::shared_ptr<Completion> completion) {
  const CompletionRequest& request = completion->request();
  const auto in_common = [&](const Slot& slot) {
    const std::vector<TokenId>& prompt = request.prompt;
    size_t n = 0;  // the last token of the prompt is fed in any case
    while (n + kPromptPiece < prompt.size() && n + kPromptPiece <= slot.pieces.size() &&
           std::equal(prompt.begin() + static_cast<ptrdiff_t>(n),
                      prompt.begin() + static_cast<ptrdiff_t>(n + kPromptPiece),
                      slot.pieces.begin() + static_cast<ptrdiff_t>(n))) {
      n += kPromptPiece;
    }
    return n;
  };
  Slot *chosen = nullptr, *donor = nullptr;
  size_t known = 0;
  const auto rank = [](const Slot& slot) { return std::pair(!slot.pieces.empty(), slot.used); };
  for (const auto& slot : slots_) {
    if (slot->completion == nullptr && (chosen == nullptr || rank(*slot) < rank(*chosen))) chosen = slot.get();
    const size_t n = request.score_prompt ? 0 : in_common(*slot);
    const bool loses_nothing = slot->completion == nullptr && slot->pieces.size() == n;
    if (n > known || (n == known && n > 0 && loses_nothing)) {
      known = n;
      donor = slot.get();
    }
  }
  // A slot that knows more than the prompt has in common with it keeps that, for the conversation that it comes from.
  if (donor != nullptr && donor->completion == nullptr && donor->pieces.size() == known) chosen = donor;
  Slot& slot = *chosen;
  slot.completion = std::move(completion);
  slot.used = ++clock_;
  slot.fed = known;
  slot.scores.clear();
  slot.sampler.emplace(request.options.sampling);
  slot.answer.emplace(tokenizer_, request.options);
  const auto begin = request.prompt.begin();
  guard(slot, [&] {
    if (donor != nullptr && donor != &slot) {
      slot.pieces.clear();
      slot.cache->copy(*donor->cache, known);
    } else {
      slot.cache->truncate(known);
    }
    slot.pieces.assign(begin, begin + static_cast<ptrdiff_t>(known));
    slot.completion->reused(known);
    const std::lock_guard lock(mutex_);
    counts_.reused_tokens += known;
  });
}

void Scheduler::feed(Slot& slot) {
  const CompletionRequest& request = slot.completion->request();
  const Clock::time_point start = Clock::now();
  const auto piece =
      std::span(request.prompt).subspan(slot.fed, std::min(kPromptPiece, request.prompt.size() - slot.fed));
  const Sequence sequence{piece, slot.cache.get()};
  const Matrix<float> hidden = model_.hidden({&sequence, 1});
  slot.fed += piece.size();
  if (piece.size() == kPromptPiece) slot.pieces.insert(slot.pieces.end(), piece.begin(), piece.end());
  if (request.score_prompt) score_prompt(slot, hidden.view());
  const bool last = slot.in_answer();
  if (last && !slot.answer->complete()) {
    model_.logits(hidden.view().row_range(piece.size() - 1, 1), logits_.view().row_range(0, 1));
    take(slot, {logits_.row(0), logits_.cols()});
  }
  {
    const std::lock_guard lock(mutex_);
    counts_.prompt_tokens += piece.size();
    counts_.prompt_seconds += seconds_since(start);
  }
  tell(slot);
}

void Scheduler::score_prompt(Slot& slot, MatrixView<const float> hidden) {
  const std::vector<TokenId>& prompt = slot.prompt();
  const size_t first = slot.fed - hidden.rows();  // place of the first row
  const size_t top = slot.completion->request().top_logprobs.value_or(0);
  if (first == 0) slot.scores.push_back({prompt[0], std::nullopt, {}});
  const size_t rows = std::min(hidden.rows(), prompt.size() - 1 - first);  // the last token says nothing of the prompt
  std::vector<ScoredToken> scores(rows);
  constexpr size_t kRows = 64;  // at once, to bound the memory
  Matrix<float> logits = Matrix<float>::uninitialized(std::min(kRows, rows), logits_.cols());
  for (size_t r = 0; r < rows; r += kRows) {
    const size_t count = std::min(kRows, rows - r);
    model_.logits(hidden.row_range(r, count), logits.view().row_range(0, count));
    parallel_for(count, [&](size_t i) {
      scores[r + i] = score_token({logits.row(i), logits.cols()}, prompt[first + r + i + 1], top);
    });
  }
  slot.scores.insert(slot.scores.end(), std::make_move_iterator(scores.begin()), std::make_move_iterator(scores.end()));
}

void Scheduler::step(std::span<Slot* const> slots) {
  const Clock::time_point start = Clock::now();
  std::vector<Sequence> sequences;
  for (Slot* slot : slots) sequences.push_back({{&slot->next, 1}, slot->cache.get()});
  const Matrix<float> hidden = model_.hidden(sequences);
  const MatrixView<float> logits = logits_.view().row_range(0, slots.size());
  model_.logits(hidden.view(), logits);
  parallel_for(slots.size(), [&](size_t i) {
    guard(*slots[i], [&] { take(*slots[i], {logits.row(i), logits.cols()}); });
  });
  {
    const std::lock_guard lock(mutex_);
    counts_.step_seconds += seconds_since(start);
  }
  for (Slot* slot : slots) {
    if (slot->completion != nullptr) tell(*slot);
  }
}

void Scheduler::take(Slot& slot, std::span<const float> logits) {
  slot.next = slot.sampler->next(logits);
  const bool more = slot.answer->add(slot.next);
  if (more && slot.cache->length() == slot.cache->capacity()) slot.answer->finish(Answer::End::kContext);
  const bool shown = more || slot.answer->end() != Answer::End::kEndOfText;
  if (const auto& top = slot.completion->request().top_logprobs; top && shown) {
    slot.scores.push_back(score_token(logits, slot.next, *top));
  }
}

// What is new, and that the answer is complete.
void Scheduler::tell(Slot& slot) {
  slot.completion->tell(slot.answer->take(), std::exchange(slot.scores, {}), slot.answer->tokens());
  if (slot.in_answer() && slot.answer->complete()) end(slot, slot.answer->end());
}

void Scheduler::end(Slot& slot, Answer::End end, std::string error, int status) {
  slot.answer->finish(end);
  slot.completion->tell(slot.answer->take(), {}, slot.answer->tokens());
  {
    const std::lock_guard lock(mutex_);
    --counts_.running;
    counts_.generated_tokens += slot.answer->tokens();
    ++(slot.completion->cancelled() ? counts_.cancelled : error.empty() ? counts_.finished : counts_.failed);
  }
  slot.completion->finish(end, std::move(error), status);
  slot.completion = nullptr;
  changed_.notify_all();
}

void Scheduler::guard(std::span<Slot* const> slots, const std::function<void()>& body) {
  std::string error;
  try {
    return body();
  } catch (const std::bad_alloc&) {
    error = "out of memory";
  } catch (const std::exception& e) {
    error = e.what();
  }
  for (Slot* slot : slots) {
    if (slot->completion == nullptr) continue;
    slot->pieces.clear();
    end(*slot, Answer::End::kLength, error);
  }
}

}  // namespace occ
