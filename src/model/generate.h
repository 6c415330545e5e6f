// Generates text from a prompt, token by token (`occ generate`).
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/sampling.h"
#include "model/transformer.h"
#include "tokenizer/tokenizer.h"

namespace occ {

struct GenerateOptions {
  size_t max_tokens = 256;
  SamplingOptions sampling;
  std::vector<std::string> stop;  // the output ends before any of these texts
  bool ignore_end = false;        // true: do not stop at tokens that end a text; for benchmarks
};

struct Generated {
  // Why it ended: max_tokens, a token that ends a text, a stop text, or a full KV cache.
  enum class End { kLength, kEndOfText, kStop, kContext };
  std::string text;
  End end = End::kLength;
  size_t prompt_tokens = 0;  // that the model computed; those still in the KV cache do not count
  size_t tokens = 0;         // generated, including the one that ended the text
  double prompt_seconds = 0, seconds = 0;
};

// A prompt goes through the model in pieces of so many tokens.
inline constexpr size_t kPromptPiece = 128;

// The answer to one prompt as it grows, token by token.
class Answer {
 public:
  using End = Generated::End;
  // tokenizer must outlive the answer.
  Answer(const Tokenizer& tokenizer, const GenerateOptions& options);
  // Adds the next token, unless the answer is complete. Returns whether it goes on.
  bool add(TokenId token);
  // Ends an answer that would go on.
  void finish(End end);
  // What was not returned before of the text that can be shown: whole UTF-8 characters, and nothing that may be the
  // beginning of a stop text. Of a complete answer all the rest.
  std::string take();
  const std::string& text() const { return text_; }  // without the stop text
  size_t tokens() const { return tokens_; }          // including the one that ended the text
  bool complete() const { return end_.has_value(); }
  End end() const { return end_.value(); }

 private:
  const Tokenizer& tokenizer_;
  GenerateOptions options_;
  std::vector<TokenId> ends_;
  std::string text_;
  std::optional<End> end_;
  size_t tokens_ = 0, shown_ = 0, taken_ = 0;  // shown_: bytes that can be shown
};

// One conversation. It keeps the KV cache: if a prompt begins with the tokens seen before, only the rest is computed.
class Generator {
 public:
  // capacity: how many tokens of prompts and answers fit. `model` and `tokenizer` must outlive the generator.
  Generator(const Transformer& model, const Tokenizer& tokenizer, size_t capacity);
  size_t capacity() const { return cache_->capacity(); }
  // on_text (may be empty) gets the output piece by piece, in whole UTF-8 characters and as soon as they cannot be the
  // beginning of a stop text. Throws a usage error if the prompt is empty or longer than the capacity, and an input
  // error if it is longer than the model's max_context.
  Generated run(std::span<const TokenId> prompt, const GenerateOptions& options,
                const std::function<void(std::string_view)>& on_text);

 private:
  const Transformer& model_;
  const Tokenizer& tokenizer_;
  std::unique_ptr<KvCache> cache_;
  std::vector<TokenId> seen_;  // the tokens in the KV cache
};

// Length in bytes of the longest prefix of `text` that can be shown already: it ends neither with an unfinished UTF-8
// character nor with the beginning of a stop text. *stopped says whether `text` contains a stop text; then the prefix
// ends before it.
size_t shown_length(std::string_view text, std::span<const std::string> stop, bool* stopped);

}  // namespace occ
