#include "tokenizer/unigram.h"

#include <fmt/format.h>

#include <algorithm>

#include "tokenizer/unicode.h"

namespace occ {

Unigram::Unigram(const Vocabulary& vocabulary, std::vector<double> scores, const UnigramOptions& options)
    : vocabulary_(vocabulary), scores_(std::move(scores)), options_(options), tokens_(vocabulary) {
  if (options_.unk_score) {
    unk_score_ = *options_.unk_score;
  } else if (!scores_.empty()) {
    unk_score_ = *std::min_element(scores_.begin(), scores_.end()) - 10;
  }
  bytes_.fill(-1);
  if (options_.byte_fallback) {
    for (size_t b = 0; b < bytes_.size(); ++b) bytes_[b] = vocabulary_.find(fmt::format("<0x{:02X}>", b)).value_or(-1);
  }
}

void Unigram::append(std::string_view part, std::vector<TokenId>& out) const {
  if (const auto id = vocabulary_.find(part)) {
    out.push_back(*id);
  } else if (std::all_of(part.begin(), part.end(), [&](char b) { return bytes_[static_cast<uint8_t>(b)] >= 0; })) {
    for (const char b : part) out.push_back(bytes_[static_cast<uint8_t>(b)]);
  } else if (options_.unk) {
    out.push_back(*options_.unk);
  }
}

void Unigram::encode(std::string_view word, std::vector<TokenId>& out) const {
  struct Node {
    double score = 0;
    size_t from = std::string_view::npos;  // where the last token of the best way to here begins
    bool known = false;                    // it is a token
  };
  std::vector<Node> best(word.size() + 1);
  const auto reach = [&](size_t end, double score, size_t from, bool known) {
    if (best[end].from == std::string_view::npos || score > best[end].score) best[end] = {score, from, known};
  };
  for (size_t at = 0; at < word.size();) {
    const size_t length = utf8_length(word[at]);
    bool single = false;
    tokens_.for_each(word, at, [&](size_t n, TokenId id) {
      reach(at + n, scores_[static_cast<size_t>(id)] + best[at].score, at, !options_.unk || id != *options_.unk);
      single = single || n == length;
    });
    if (!single) reach(at + length, unk_score_ + best[at].score, at, false);
    at += length;
  }
  std::vector<std::string_view> parts;  // from the last one to the first one
  for (size_t end = word.size(); end > 0;) {
    size_t begin = best[end].from;
    const bool known = best[end].known;
    while (!known && begin > 0 && !best[begin].known) begin = best[begin].from;
    parts.push_back(word.substr(begin, end - begin));
    end = begin;
  }
  for (size_t i = parts.size(); i-- > 0;) append(parts[i], out);
}

}  // namespace occ
