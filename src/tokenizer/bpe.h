// Byte-pair encoding (Sennrich et al., arXiv 1508.07909) over the characters of a word: of all neighbours the pair of
// lowest rank is merged, of equal ones the leftmost, until no pair is left. O(n log n) for n characters.
//
// Ranks are the order of a list of merges (byte-level BPE of GPT-2, where the characters stand for bytes, and
// tokenizer.json), or the order of scores of the merged tokens (SentencePiece as GGUF keeps it: add_score_merges).
// Characters without a token become the bytes <0x00> .. <0xFF> (byte_fallback), or unk, or nothing.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include "tokenizer/subword.h"

namespace occ {

// Pairs of symbols to rank and merged symbol: open addressing, because every step of a merge asks it.
class MergeTable {
 public:
  struct Merge {
    uint64_t pair = kEmpty;
    uint32_t rank = 0;
    int32_t result = -1;
  };
  // The first of equal pairs stays.
  void add(int32_t left, int32_t right, uint32_t rank, int32_t result);
  const Merge* find(int32_t left, int32_t right) const;

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  static uint64_t key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot(uint64_t pair) const;
  void grow();

  std::vector<Merge> table_;
  size_t used_ = 0;
};

struct BpeOptions {
  bool byte_fallback = false;
  bool fuse_unk = false;       // neighbouring characters without a token become one unk
  bool ignore_merges = false;  // a word that is a token as a whole stays one
  std::optional<TokenId> unk;
};

class Bpe final : public SubwordModel {
 public:
  // `vocabulary` must outlive this.
  Bpe(const Vocabulary& vocabulary, const BpeOptions& options);

  // A merge of two texts; those that are no tokens may be steps on the way to one.
  void add_merge(std::string_view left, std::string_view right, uint32_t rank);
  // All pairs of symbols (tokens or single characters) whose concatenation is a token; higher scores first.
  void add_score_merges(std::span<const float> scores);
  // Whether no merge joins a character that is not U+2581 with one that is, to its right: then a text may be cut
  // before each run of U+2581 without another result.
  bool cuts_before_metaspace() const;

  void encode(std::string_view word, std::vector<TokenId>& out) const override;

 private:
  // A token, or a number from vocabulary_.tokens.size() on for a text that is none.
  int32_t symbol(std::string_view text);
  int32_t char_symbol(std::string_view word, size_t& at) const;  // or -1
  std::string_view text_of(int32_t symbol) const;
  void append_unknown(std::string_view character, std::vector<int32_t>& out, bool& after_unk) const;

  const Vocabulary& vocabulary_;
  BpeOptions options_;
  std::vector<std::string> extra_;  // texts of symbols that are no tokens
  StringMap<int32_t> extra_ids_;
  std::unordered_map<uint32_t, int32_t> chars_;  // symbols of single characters
  std::array<int32_t, 128> ascii_;
  std::array<TokenId, 256> bytes_;
  MergeTable merges_;
  std::vector<int32_t> results_;  // of all merges
};

}  // namespace occ
