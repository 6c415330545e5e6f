// Finds all tokens that a text begins with at some place.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/subword.h"

namespace occ {

class PrefixTokens {
 public:
  // The tokens that `vocabulary`, which must outlive this object, has in its index.
  explicit PrefixTokens(const Vocabulary& vocabulary) : tokens_(vocabulary.tokens) {
    vocabulary.for_each([&](TokenId id) {
      if (!text(id).empty()) sorted_.push_back(id);
    });
    std::sort(sorted_.begin(), sorted_.end(), [&](TokenId a, TokenId b) { return text(a) < text(b); });
    for (const TokenId id : sorted_) ++first_[static_cast<uint8_t>(text(id)[0]) + size_t{1}];
    for (size_t b = 0; b < 256; ++b) first_[b + 1] += first_[b];
  }

  // Calls found(length in bytes, id) for every token that `word` has at `at`, the shortest first.
  template <typename F>
  void for_each(std::string_view word, size_t at, const F& found) const {
    // The range of the tokens whose first n bytes are those of the word here.
    const auto first_byte = static_cast<uint8_t>(word[at]);
    auto low = sorted_.begin() + static_cast<std::ptrdiff_t>(first_[first_byte]);
    auto high = sorted_.begin() + static_cast<std::ptrdiff_t>(first_[first_byte + size_t{1}]);
    for (size_t n = 1; low != high; ++n) {
      if (text(*low).size() == n) found(n, *low++);  // the shortest of the range comes first
      if (at + n == word.size()) break;
      const auto next = static_cast<uint8_t>(word[at + n]);
      const auto byte = [&](TokenId id) { return static_cast<uint8_t>(text(id)[n]); };
      low = std::partition_point(low, high, [&](TokenId id) { return byte(id) < next; });
      high = std::partition_point(low, high, [&](TokenId id) { return byte(id) <= next; });
    }
  }

 private:
  const std::string& text(TokenId id) const { return tokens_[static_cast<size_t>(id)]; }

  const std::vector<std::string>& tokens_;
  std::vector<TokenId> sorted_;      // by text
  std::array<size_t, 257> first_{};  // where in sorted_ the tokens that begin with a byte stand
};

// Takes the longest token at every place (the vocabulary of RWKV). A byte that no token begins with is `unk`.
class LongestMatch final : public SubwordModel {
 public:
  LongestMatch(const Vocabulary& vocabulary, std::optional<TokenId> unk) : tokens_(vocabulary), unk_(unk) {}
  void encode(std::string_view word, std::vector<TokenId>& out) const override {
    for (size_t at = 0; at < word.size();) {
      size_t length = 1;
      std::optional<TokenId> best = unk_;
      tokens_.for_each(word, at, [&](size_t n, TokenId id) {
        length = n;
        best = id;
      });
      if (best) out.push_back(*best);
      at += length;
    }
  }

 private:
  PrefixTokens tokens_;
  std::optional<TokenId> unk_;
};

}  // namespace occ
