#include "model/generate.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/option_name.h"

namespace occ {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Bytes at the end of `text` that begin a UTF-8 character without finishing it.
size_t unfinished_utf8(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;  // a continuation byte: look for its beginning
    const size_t needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needs > back ? back : 0;
  }
  return 0;
}

}  // namespace

size_t shown_length(std::string_view text, std::span<const std::string> stop, bool* stopped) {
  *stopped = false;
  size_t shown = text.size() - unfinished_utf8(text);
  for (const std::string& s : stop) {
    if (s.empty()) continue;
    if (const size_t at = text.find(s); at != std::string_view::npos) {
      shown = std::min(shown, at);
      *stopped = true;
    }
  }
  if (*stopped) return shown;
  for (const std::string& s : stop) {
    for (size_t n = std::min(s.size() - std::min<size_t>(s.size(), 1), text.size()); n > 0; --n) {
      if (!text.ends_with(std::string_view(s).substr(0, n))) continue;
      shown = std::min(shown, text.size() - n);
      break;
    }
  }
  return shown;
}

Answer::Answer(const Tokenizer& tokenizer, const GenerateOptions& options)
    : tokenizer_(tokenizer), options_(options), ends_(tokenizer.end_of_generation()) {
  if (options.max_tokens == 0) end_ = End::kLength;
}

bool Answer::add(TokenId token) {
  if (complete()) return false;
  ++tokens_;
  if (!options_.ignore_end && std::find(ends_.begin(), ends_.end(), token) != ends_.end()) {
    finish(End::kEndOfText);
    return false;
  }
  text_ += tokenizer_.piece(token);
  bool stopped = false;
  shown_ = shown_length(text_, options_.stop, &stopped);
  if (stopped) {
    text_.resize(shown_);
    finish(End::kStop);
  } else if (tokens_ == options_.max_tokens) {
    finish(End::kLength);
  }
  return !complete();
}

void Answer::finish(End end) {
  if (complete()) return;
  end_ = end;
  shown_ = text_.size();
}

std::string Answer::take() {
  std::string piece = shown_ > taken_ ? text_.substr(taken_, shown_ - taken_) : std::string();
  taken_ = std::max(taken_, shown_);
  return piece;
}

Generator::Generator(const Transformer& model, const Tokenizer& tokenizer, size_t capacity)
    : model_(model), tokenizer_(tokenizer), cache_(model.make_cache(capacity)) {}

Generated Generator::run(std::span<const TokenId> prompt, const GenerateOptions& options,
                         const std::function<void(std::string_view)>& on_text) {
  if (prompt.empty()) throw_usage("the prompt has no tokens, expected at least one");
  if (const size_t most = model_.config().max_context; most != 0 && prompt.size() > most) {
    throw_input("the prompt has {} tokens, expected at most the {} that the model takes", prompt.size(), most);
  }
  if (prompt.size() > cache_->capacity()) {
    throw_usage("{}: expected at least the {} tokens of the prompt, found {}", option_name("context"), prompt.size(),
                cache_->capacity());
  }
  // At least the last token goes through the model: its logits are needed.
  size_t known = 0;
  while (known + 1 < prompt.size() && known < seen_.size() && seen_[known] == prompt[known]) ++known;
  cache_->truncate(known);
  seen_.assign(prompt.begin(), prompt.begin() + static_cast<ptrdiff_t>(known));

  Generated out;
  out.prompt_tokens = prompt.size() - known;
  Sampler sampler(options.sampling);
  Matrix<float> logits(1, model_.config().vocab_size);
  const auto feed = [&](std::span<const TokenId> tokens) {
    const Sequence sequence{tokens, cache_.get()};
    Matrix<float> hidden = model_.hidden({&sequence, 1});
    seen_.insert(seen_.end(), tokens.begin(), tokens.end());
    return hidden;
  };
  Clock::time_point start = Clock::now();
  for (size_t at = known; at < prompt.size(); at += kPromptPiece) {
    const std::span<const TokenId> part = prompt.subspan(at, std::min(kPromptPiece, prompt.size() - at));
    const Matrix<float> hidden = feed(part);
    if (at + part.size() == prompt.size()) model_.logits(hidden.view().row_range(part.size() - 1, 1), logits.view());
  }
  out.prompt_seconds = seconds_since(start);
  start = Clock::now();
  Answer answer(tokenizer_, options);
  const auto show = [&] {
    const std::string piece = answer.take();
    if (!piece.empty() && on_text) on_text(piece);
  };
  while (!answer.complete()) {
    throw_if_interrupted();
    const TokenId token = sampler.next({logits.data(), logits.size()});
    if (answer.add(token) && cache_->length() == cache_->capacity()) answer.finish(Answer::End::kContext);
    show();
    if (answer.complete()) break;
    const Matrix<float> hidden = feed({&token, 1});
    model_.logits(hidden.view(), logits.view());
  }
  out.text = answer.text();
  out.end = answer.end();
  out.tokens = answer.tokens();
  out.seconds = seconds_since(start);
  return out;
}

}  // namespace occ
