#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <queue>

#include "tokenizer/unicode.h"

namespace occ {

size_t MergeTable::slot(uint64_t pair) const {
  const size_t mask = table_.size() - 1;
  size_t i = (pair * 0x9E3779B97F4A7C15u) >> 20 & mask;
  while (table_[i].pair != kEmpty && table_[i].pair != pair) i = (i + 1) & mask;
  return i;
}

void MergeTable::grow(size_t size) {
  std::vector<Merge> old(std::bit_ceil(std::max<size_t>(64, size)));
  if (old.size() <= table_.size()) return;
  std::swap(old, table_);
  for (const Merge& m : old) {
    if (m.pair != kEmpty) table_[slot(m.pair)] = m;
  }
}

void MergeTable::add(int32_t left, int32_t right, uint32_t rank, int32_t result) {
  if (2 * (used_ + 1) > table_.size()) grow(2 * table_.size());
  Merge& m = table_[slot(key(left, right))];
  if (m.pair != kEmpty) return;
  m = {key(left, right), rank, result};
  ++used_;
}

const MergeTable::Merge* MergeTable::find(int32_t left, int32_t right) const {
  if (table_.empty()) return nullptr;
  const Merge& m = table_[slot(key(left, right))];
  return m.pair == kEmpty ? nullptr : &m;
}

Bpe::Bpe(const Vocabulary& vocabulary, const BpeOptions& options) : vocabulary_(vocabulary), options_(options) {
  ascii_.fill(-1);
  bytes_.fill(-1);
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const std::string& text = vocabulary.tokens[i];
    const auto id = static_cast<TokenId>(i);
    if (text.empty() || utf8_length(text[0]) != text.size() || vocabulary.find(text) != id) continue;
    size_t at = 0;
    const uint32_t c = next_char(text, at);
    chars_.emplace(c, id);
    if (c < ascii_.size()) ascii_[c] = id;
  }
  if (options.byte_fallback) {
    for (size_t b = 0; b < bytes_.size(); ++b) {
      bytes_[b] = vocabulary.find(fmt::format("<0x{:02X}>", b)).value_or(-1);
    }
  }
}

int32_t Bpe::symbol(std::string_view text) {
  if (const auto id = vocabulary_.find(text)) return *id;
  const auto known = extra_ids_.find(text);
  if (known != extra_ids_.end()) return known->second;
  const auto id = static_cast<int32_t>(vocabulary_.tokens.size() + extra_.size());
  extra_.emplace_back(text);
  extra_ids_.emplace(text, id);
  if (!text.empty() && utf8_length(text[0]) == text.size()) {
    size_t at = 0;
    const uint32_t c = next_char(text, at);
    chars_.emplace(c, id);
    if (c < ascii_.size()) ascii_[c] = id;
  }
  return id;
}

std::string_view Bpe::text_of(int32_t symbol) const {
  const auto i = static_cast<size_t>(symbol);
  return i < vocabulary_.tokens.size() ? vocabulary_.tokens[i] : extra_[i - vocabulary_.tokens.size()];
}

void Bpe::add_merge(std::string_view left, std::string_view right, uint32_t rank) {
  merged_.assign(left);
  merged_.append(right);
  // Most vocabularies have the merged tokens in the order of the merges: then the next one is it, without a search.
  const size_t next = results_.empty() ? 0 : static_cast<size_t>(results_.back()) + 1;
  const bool in_order =
      next < vocabulary_.tokens.size() && vocabulary_.tokens[next] == merged_ && !vocabulary_.repeats();
  const int32_t result = in_order ? static_cast<int32_t>(next) : symbol(merged_);
  merges_.add(symbol(left), symbol(right), rank, result);
  results_.push_back(result);
}

void Bpe::add_score_merges(std::span<const float> scores) {
  std::vector<TokenId> order;  // by falling score
  vocabulary_.for_each([&](TokenId id) { order.push_back(id); });
  const auto score = [&](TokenId id) { return scores[static_cast<size_t>(id)]; };
  std::sort(order.begin(), order.end(),
            [&](TokenId a, TokenId b) { return score(a) != score(b) ? score(a) > score(b) : a < b; });
  uint32_t rank = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    // Equal scores are equal ranks: then the leftmost pair is merged.
    if (i > 0 && score(order[i]) != score(order[i - 1])) ++rank;
    const std::string_view text = vocabulary_.tokens[static_cast<size_t>(order[i])];
    for (size_t cut = 0; cut < text.size();) {
      cut += utf8_length(text[cut]);
      if (cut >= text.size()) break;
      const auto part = [&](std::string_view half) -> int32_t {
        if (const auto id = vocabulary_.find(half)) return *id;
        return utf8_length(half[0]) == half.size() ? symbol(half) : -1;
      };
      const int32_t left = part(text.substr(0, cut));
      const int32_t right = left < 0 ? -1 : part(text.substr(cut));
      if (right < 0) continue;
      merges_.add(left, right, rank, order[i]);
      results_.push_back(order[i]);
    }
  }
}

bool Bpe::cuts_before_metaspace() const {
  constexpr std::string_view kMeta = "\u2581";
  if (chars_.find(0x2581) == chars_.end()) return false;
  return std::none_of(results_.begin(), results_.end(), [&](int32_t result) {
    const std::string_view text = text_of(result);
    for (size_t at = text.find(kMeta); at != std::string_view::npos; at = text.find(kMeta, at + kMeta.size())) {
      if (at > 0 && !text.substr(0, at).ends_with(kMeta)) return true;
    }
    return false;
  });
}

int32_t Bpe::char_symbol(std::string_view word, size_t& at) const {
  const uint32_t c = next_char(word, at);
  if (c < ascii_.size()) return ascii_[c];
  const auto it = chars_.find(c);
  return it == chars_.end() ? -1 : it->second;
}

void Bpe::append_unknown(std::string_view character, std::vector<int32_t>& out, bool& after_unk) const {
  const auto byte_id = [&](char b) { return bytes_[static_cast<uint8_t>(b)]; };
  if (options_.byte_fallback &&
      std::all_of(character.begin(), character.end(), [&](char b) { return byte_id(b) >= 0; })) {
    for (const char b : character) out.push_back(byte_id(b));
    after_unk = false;
  } else if (options_.unk) {
    if (!after_unk || !options_.fuse_unk) out.push_back(*options_.unk);
    after_unk = true;
  }
}

void Bpe::encode(std::string_view word, std::vector<TokenId>& out) const {
  if (options_.ignore_merges) {
    if (const auto id = vocabulary_.find(word)) {
      out.push_back(*id);
      return;
    }
  }
  std::vector<int32_t> ids;
  ids.reserve(word.size());
  bool after_unk = false;
  for (size_t at = 0; at < word.size();) {
    const size_t begin = at;
    const int32_t id = char_symbol(word, at);
    if (id >= 0) {
      ids.push_back(id);
      after_unk = false;
    } else {
      append_unknown(word.substr(begin, at - begin), ids, after_unk);
    }
  }

  // Symbols are a linked list; a merge keeps the left one. Entries of the queue that no longer hold are skipped.
  struct Entry {
    uint32_t rank, position;
    int32_t result;
    bool operator<(const Entry& o) const { return rank != o.rank ? rank > o.rank : position > o.position; }
  };
  const size_t n = ids.size();
  std::vector<uint32_t> next(n), previous(n);
  std::vector<Entry> entries;
  for (size_t i = 0; i < n; ++i) {
    next[i] = static_cast<uint32_t>(i + 1);
    previous[i] = static_cast<uint32_t>(i) - 1;
    if (i + 1 == n) break;
    if (const auto* m = merges_.find(ids[i], ids[i + 1])) {
      entries.push_back({m->rank, static_cast<uint32_t>(i), m->result});
    }
  }
  std::priority_queue<Entry> queue(std::less<Entry>(), std::move(entries));
  const auto push = [&](uint32_t i) {
    if (const auto* m = merges_.find(ids[i], ids[next[i]])) queue.push({m->rank, i, m->result});
  };
  while (!queue.empty()) {
    const Entry top = queue.top();
    queue.pop();
    const uint32_t i = top.position;
    if (ids[i] < 0 || next[i] >= n) continue;
    const auto* m = merges_.find(ids[i], ids[next[i]]);
    if (m == nullptr || m->result != top.result) continue;
    const uint32_t gone = next[i];
    ids[i] = top.result;
    ids[gone] = -1;
    next[i] = next[gone];
    if (next[i] < n) {
      previous[next[i]] = i;
      push(i);
    }
    if (i > 0) push(previous[i]);
  }

  for (size_t i = 0; i < n; i = next[i]) {
    if (static_cast<size_t>(ids[i]) < vocabulary_.tokens.size()) {
      out.push_back(ids[i]);
      continue;
    }
    // A step on the way to a token that was not reached: its characters one by one.
    const std::string_view text = text_of(ids[i]);
    after_unk = false;
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      const int32_t id = char_symbol(text, at);
      if (id >= 0 && static_cast<size_t>(id) < vocabulary_.tokens.size()) {
        out.push_back(id);
        after_unk = false;
      } else {
        append_unknown(text.substr(begin, at - begin), out, after_unk);
      }
    }
  }
}

}  // namespace occ
