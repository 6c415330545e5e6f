#include "tokenizer/added_tokens.h"

#include <algorithm>

#include "tokenizer/regex.h"
#include "tokenizer/unicode.h"

namespace occ {
namespace {

// Characters of a word, for single_word.
bool is_word(std::string_view character) {
  static const Regex kWord(R"([\w\p{Join_Control}])", "tokenizer");
  return !kWord.matches(character).empty();
}

size_t previous_char(std::string_view text, size_t at) {
  do --at;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80);
  return at;
}

bool is_single_word(std::string_view text, size_t begin, size_t end) {
  if (begin > 0) {
    const size_t before = previous_char(text, begin);
    if (is_word(text.substr(before, begin - before))) return false;
  }
  return end == text.size() || !is_word(text.substr(end, utf8_length(text[end])));
}

}  // namespace

void AddedTokens::add(const AddedToken& token) {
  if (token.content.empty()) return;
  first_[static_cast<uint8_t>(token.content[0])] = true;
  uint32_t node = 0;
  for (const char c : token.content) {
    auto& next = nodes_[node].next;
    const auto it = std::find_if(next.begin(), next.end(), [&](const auto& edge) { return edge.first == c; });
    if (it != next.end()) {
      node = it->second;
    } else {
      const auto fresh = static_cast<uint32_t>(nodes_.size());
      next.emplace_back(c, fresh);
      nodes_.emplace_back();
      node = fresh;
    }
  }
  nodes_[node].token = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
}

// Length of the longest token that begins at text[at], or 0.
size_t AddedTokens::longest(std::string_view text, size_t at, size_t& token) const {
  size_t length = 0;
  uint32_t node = 0;
  for (size_t i = at; i < text.size(); ++i) {
    const auto& next = nodes_[node].next;
    const auto it = std::find_if(next.begin(), next.end(), [&](const auto& edge) { return edge.first == text[i]; });
    if (it == next.end()) break;
    node = it->second;
    if (nodes_[node].token >= 0) {
      length = i + 1 - at;
      token = static_cast<size_t>(nodes_[node].token);
    }
  }
  return length;
}

std::vector<AddedTokens::Part> AddedTokens::split(std::string_view text, bool parse_special) const {
  std::vector<Part> parts;
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    size_t found = 0;
    const size_t length = first_[static_cast<uint8_t>(text[at])] ? longest(text, at, found) : 0;
    if (length == 0) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + length;
    at = end;
    const AddedToken& token = tokens_[found];
    if (token.special && !parse_special) continue;
    if (token.single_word && !is_single_word(text, begin, end)) continue;
    if (token.lstrip) {
      while (begin > done) {
        size_t before = previous_char(text, begin);
        const size_t to = before;
        if (!is_white_space(next_char(text, before))) break;
        begin = to;
      }
    }
    if (token.rstrip) {
      while (end < text.size()) {
        size_t after = end;
        if (!is_white_space(next_char(text, after))) break;
        end = after;
      }
    }
    if (done < begin) parts.push_back({-1, done, begin});
    parts.push_back({token.id, begin, end});
    done = end;
  }
  if (done < text.size()) parts.push_back({-1, done, text.size()});
  return parts;
}

}  // namespace occ
