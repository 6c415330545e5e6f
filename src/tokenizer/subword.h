// Subword models, which turn one word into token ids after a text has been split: BPE (bpe.h) or WordPiece
// (wordpiece.h).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "tokenizer/tokenizer.h"

namespace occ {

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return hash64(text); }
};
template <typename T>
using StringMap = std::unordered_map<std::string, T, StringHash, std::equal_to<>>;

// Maps ids to the texts of tokens and back. An id without a token has an empty text. A text is found only after index(),
// which keeps nothing but ids: a vocabulary of 150,000 tokens is made in milliseconds.
class Vocabulary {
 public:
  std::vector<std::string> tokens;

  // Makes tokens[id] a text that is found; its text must not change any more. Of equal texts the last counts.
  void index(TokenId id) {
    if (2 * (used_ + 1) > table_.size()) grow(4 * (used_ + 1));
    Entry& e = table_[slot(text(id))];
    used_ += e.id < 0 ? 1 : 0;
    repeats_ = repeats_ || e.id >= 0;
    e = {high(hash64(text(id))), id};
  }
  void reserve(size_t count) { grow(2 * count); }
  void clear_index() {
    table_.clear();
    used_ = 0;
    repeats_ = false;
  }
  std::optional<TokenId> find(std::string_view text) const {
    if (table_.empty()) return std::nullopt;
    const Entry& e = table_[slot(text)];
    return e.id < 0 ? std::nullopt : std::optional(e.id);
  }
  // Whether two texts that were indexed are equal.
  bool repeats() const { return repeats_; }
  // Calls body(id) for every text that is found.
  template <typename F>
  void for_each(const F& body) const {
    for (const Entry& e : table_) {
      if (e.id >= 0) body(e.id);
    }
  }

 private:
  struct Entry {
    uint32_t hash = 0;
    TokenId id = -1;
  };
  static uint32_t high(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }
  const std::string& text(TokenId id) const { return tokens[static_cast<size_t>(id)]; }
  // Where the text is, or the free place for it.
  size_t slot(std::string_view wanted) const {
    const uint64_t hash = hash64(wanted);
    const size_t mask = table_.size() - 1;
    size_t i = hash & mask;
    while (table_[i].id >= 0 && (table_[i].hash != high(hash) || text(table_[i].id) != wanted)) i = (i + 1) & mask;
    return i;
  }
  void grow(size_t at_least) {
    std::vector<Entry> old(std::bit_ceil(std::max<size_t>(64, at_least)));
    if (old.size() <= table_.size()) return;
    std::swap(old, table_);
    for (const Entry& e : old) {
      if (e.id >= 0) table_[slot(text(e.id))] = e;
    }
  }

  std::vector<Entry> table_;
  size_t used_ = 0;
  bool repeats_ = false;
};

class SubwordModel {
 public:
  virtual ~SubwordModel() = default;
  // Appends the ids of a word to `out`. The word must be valid UTF-8 and not empty. Thread-safe.
  virtual void encode(std::string_view word, std::vector<TokenId>& out) const = 0;
};

}  // namespace occ
