#include "tokenizer/wordpiece.h"

#include <algorithm>

#include "tokenizer/unicode.h"

namespace occ {

WordPiece::WordPiece(const Vocabulary& vocabulary, WordPieceOptions options)
    : vocabulary_(vocabulary), options_(std::move(options)) {
  for (const std::string& token : vocabulary.tokens) longest_ = std::max(longest_, token.size());
}

void WordPiece::encode(std::string_view word, std::vector<TokenId>& out) const {
  std::vector<size_t> cuts = {0};  // beginnings of characters, and the end
  while (cuts.back() < word.size()) cuts.push_back(cuts.back() + utf8_length(word[cuts.back()]));
  const size_t chars = cuts.size() - 1;
  const size_t before = out.size();
  bool known = chars <= options_.max_chars;
  std::string text;
  for (size_t begin = 0; known && begin < chars;) {
    const std::string_view prefix = begin > 0 ? std::string_view(options_.continuation) : std::string_view();
    size_t end = begin;
    while (end < chars && cuts[end + 1] - cuts[begin] + prefix.size() <= longest_) ++end;
    text = prefix;
    text += word.substr(cuts[begin], cuts[end] - cuts[begin]);
    for (; end > begin; --end) {
      const auto id = vocabulary_.find(std::string_view(text).substr(0, prefix.size() + cuts[end] - cuts[begin]));
      if (!id) continue;
      out.push_back(*id);
      break;
    }
    known = end > begin;
    begin = end;
  }
  if (known) return;
  out.resize(before);
  out.push_back(options_.unk);
}

}  // namespace occ
