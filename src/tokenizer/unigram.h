// The unigram language model (Kudo, arXiv 1804.10959): of all ways to cut a word into tokens the one whose scores (log
// probabilities) have the largest sum, found by dynamic programming over the bytes of the word. A character that no
// token begins with costs 10 more than the worst token; neighbours of this kind are one `unk`, or the tokens of their
// bytes (byte_fallback). As the `tokenizers` package does it, whose order of additions decides between equal sums.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "tokenizer/prefix_tokens.h"

namespace occ {

struct UnigramOptions {
  bool byte_fallback = false;
  std::optional<TokenId> unk;
  std::optional<double> unk_score;  // of a character that no token begins with; none: 10 less than the worst score
};

class Unigram final : public SubwordModel {
 public:
  // scores: one per token of the vocabulary, which must outlive this object. Tokens that are not in its index are
  // never made.
  Unigram(const Vocabulary& vocabulary, std::vector<double> scores, const UnigramOptions& options);
  void encode(std::string_view word, std::vector<TokenId>& out) const override;

 private:
  void append(std::string_view part, std::vector<TokenId>& out) const;

  const Vocabulary& vocabulary_;
  std::vector<double> scores_;
  UnigramOptions options_;
  PrefixTokens tokens_;
  std::array<TokenId, 256> bytes_;
  double unk_score_ = 0;
};

// Every word is one token, or `unk` (the model WordLevel of tokenizer.json).
class WordLevel final : public SubwordModel {
 public:
  WordLevel(const Vocabulary& vocabulary, std::optional<TokenId> unk) : vocabulary_(vocabulary), unk_(unk) {}
  void encode(std::string_view word, std::vector<TokenId>& out) const override {
    const auto id = vocabulary_.find(word);
    if (id || unk_) out.push_back(id ? *id : *unk_);
  }

 private:
  const Vocabulary& vocabulary_;
  std::optional<TokenId> unk_;
};

}  // namespace occ
