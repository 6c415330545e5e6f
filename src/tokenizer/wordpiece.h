// WordPiece (Wu et al., arXiv 1609.08144) as BERT uses it. It takes the longest token that a word begins with, then the
// longest continuation token that the rest begins with, and so on. If no token fits the rest, the whole word is unk.
#pragma once

#include "tokenizer/subword.h"

namespace occ {

struct WordPieceOptions {
  TokenId unk = 0;
  std::string continuation = "##";  // prefix of tokens that continue a word
  size_t max_chars = 100;           // words of more characters are unk
};

class WordPiece final : public SubwordModel {
 public:
  // `vocabulary` must outlive this object.
  WordPiece(const Vocabulary& vocabulary, WordPieceOptions options);
  void encode(std::string_view word, std::vector<TokenId>& out) const override;

 private:
  const Vocabulary& vocabulary_;
  WordPieceOptions options_;
  size_t longest_ = 0;  // bytes of the longest token
};

}  // namespace occ
