// WordPiece (Wu et al., arXiv 1609.08144; BERT's form): the longest token that a word begins with, then the longest
// continuation of what is left, and so on; a word where that ends before its end is unk as a whole.
#pragma once

#include "tokenizer/subword.h"

namespace occ {

struct WordPieceOptions {
  TokenId unk = 0;
  std::string continuation = "##";  // what tokens inside words begin with
  size_t max_chars = 100;           // longer words are unk
};

class WordPiece final : public SubwordModel {
 public:
  // `vocabulary` must outlive this.
  WordPiece(const Vocabulary& vocabulary, WordPieceOptions options);
  void encode(std::string_view word, std::vector<TokenId>& out) const override;

 private:
  const Vocabulary& vocabulary_;
  WordPieceOptions options_;
  size_t longest_ = 0;  // bytes of the longest token
};

}  // namespace occ
