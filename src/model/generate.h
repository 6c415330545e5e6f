// RUN: a prompt in, text out, token by token.
#pragma once

#include <functional>
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
  std::vector<std::string> stop;  // texts that end the output; they are not part of it
  bool ignore_end = false;        // go on after tokens that end a text, for benchmarks
};

struct Generated {
  enum class End { kLength, kEndOfText, kStop, kContext };
  std::string text;
  End end = End::kLength;
  size_t prompt_tokens = 0;  // that went through the model: not those still in the cache
  size_t tokens = 0;         // chosen, the one that ended the text included
  double prompt_seconds = 0, seconds = 0;
};

// One conversation: keeps the KV cache, so that a prompt which begins with what was seen before costs only the rest.
class Generator {
 public:
  // capacity: tokens of prompt and answers that fit.
  Generator(const Transformer& model, const Tokenizer& tokenizer, size_t capacity);
  size_t capacity() const { return cache_->capacity(); }
  // on_text gets whole UTF-8 characters as soon as no stop text can begin in them. Usage error if the prompt is empty
  // or longer than the capacity, input error if it is longer than what the model takes.
  Generated run(std::span<const TokenId> prompt, const GenerateOptions& options,
                const std::function<void(std::string_view)>& on_text);

 private:
  const Transformer& model_;
  const Tokenizer& tokenizer_;
  std::unique_ptr<KvCache> cache_;
  std::vector<TokenId> seen_;  // in the cache
};

// Length of the longest prefix of `text` that can be shown: no unfinished UTF-8 character at its end and no beginning
// of a stop text. Sets *stopped where a whole stop text was found; the prefix then ends before it.
size_t shown_length(std::string_view text, std::span<const std::string> stop, bool* stopped);

}  // namespace occ
