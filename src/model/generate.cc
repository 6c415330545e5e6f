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

constexpr size_t kPromptTokens = 512;  // in one pass

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
  const std::vector<TokenId> ends = tokenizer_.end_of_generation();
  Matrix<float> logits(1, model_.config().vocab_size);
  const auto feed = [&](std::span<const TokenId> tokens) {
    const Sequence sequence{tokens, cache_.get()};
    Matrix<float> hidden = model_.hidden({&sequence, 1});
    seen_.insert(seen_.end(), tokens.begin(), tokens.end());
    return hidden;
  };
  Clock::time_point start = Clock::now();
  for (size_t at = known; at < prompt.size(); at += kPromptTokens) {
    const std::span<const TokenId> part = prompt.subspan(at, std::min(kPromptTokens, prompt.size() - at));
    const Matrix<float> hidden = feed(part);
    if (at + part.size() == prompt.size()) model_.logits(hidden.view().row_range(part.size() - 1, 1), logits.view());
  }
  out.prompt_seconds = seconds_since(start);
  start = Clock::now();
  size_t shown = 0;
  bool stopped = false;
  const auto show_until = [&](size_t end) {
    if (end > shown && on_text) on_text(std::string_view(out.text).substr(shown, end - shown));
    shown = std::max(shown, end);
  };
  while (out.tokens < options.max_tokens) {
    throw_if_interrupted();
    const TokenId token = sampler.next({logits.data(), logits.size()});
    ++out.tokens;
    if (!options.ignore_end && std::find(ends.begin(), ends.end(), token) != ends.end()) {
      out.end = Generated::End::kEndOfText;
      break;
    }
    out.text += tokenizer_.piece(token);
    const size_t length = shown_length(out.text, options.stop, &stopped);
    show_until(length);
    if (stopped) {
      out.text.resize(length);
      out.end = Generated::End::kStop;
      break;
    }
    if (out.tokens == options.max_tokens) break;
    if (cache_->length() == cache_->capacity()) {
      out.end = Generated::End::kContext;
      break;
    }
    const Matrix<float> hidden = feed({&token, 1});
    model_.logits(hidden.view(), logits.view());
  }
  show_until(out.text.size());
  out.seconds = seconds_since(start);
  return out;
}

}  // namespace occ
