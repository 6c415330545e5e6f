#include "server/completion.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace occ {

ScoredToken score_token(std::span<const float> logits, TokenId token, size_t top) {
  const float most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float v : logits) sum += static_cast<double>(std::exp(v - most));
  const double log_sum = std::log(sum) + static_cast<double>(most);
  const auto logprob = [&](TokenId t) {
    return static_cast<float>(static_cast<double>(logits[static_cast<size_t>(t)]) - log_sum);
  };
  ScoredToken scored{token, logprob(token), {}};
  std::vector<TokenId> ids(top == 0 ? 0 : logits.size());
  std::iota(ids.begin(), ids.end(), TokenId{0});
  top = std::min(top, ids.size());
  std::partial_sort(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(top), ids.end(), [&](TokenId a, TokenId b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  });
  for (size_t i = 0; i < top; ++i) scored.top.emplace_back(ids[i], logprob(ids[i]));
  return scored;
}

bool Completion::has_news() const {
  return !over_ && (news_.end.has_value() || !news_.text.empty() || !news_.scores.empty());
}

std::optional<CompletionNews> Completion::news() {
  const std::lock_guard lock(mailbox_->mutex);
  if (!has_news()) return std::nullopt;
  CompletionNews news = news_;
  news_.text.clear();
  news_.scores.clear();
  over_ = news.end.has_value();
  return news;
}

void Completion::tell(std::string text, std::vector<ScoredToken> scores, size_t tokens) {
  {
    const std::lock_guard lock(mailbox_->mutex);
    news_.text += text;
    news_.scores.insert(news_.scores.end(), std::make_move_iterator(scores.begin()),
                        std::make_move_iterator(scores.end()));
    news_.tokens = tokens;
    if (!has_news()) return;
  }
  mailbox_->changed.notify_one();
}

void Completion::reused(size_t tokens) {
  const std::lock_guard lock(mailbox_->mutex);
  news_.reused_tokens = tokens;
}

void Completion::finish(Generated::End end, std::string error, int status) {
  {
    const std::lock_guard lock(mailbox_->mutex);
    news_.end = end;
    news_.status = error.empty() ? 200 : status;
    news_.error = std::move(error);
  }
  mailbox_->changed.notify_one();
}

void wait_for_news(std::span<const std::shared_ptr<Completion>> completions, std::chrono::milliseconds most) {
  Mailbox& mailbox = *completions.front()->mailbox_;
  std::unique_lock lock(mailbox.mutex);
  mailbox.changed.wait_for(lock, most, [&] {
    return std::any_of(completions.begin(), completions.end(), [](const auto& c) { return c->has_news(); });
  });
}

}  // namespace occ
