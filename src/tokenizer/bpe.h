// Byte-pair encoding (Sennrich et al., arXiv 1508.07909). It begins with the characters of a word as symbols and
// merges, again and again, the pair of neighbouring symbols with the lowest rank (of equal ones the leftmost), until no
// pair of neighbours has a rank. This takes O(n log n) steps for n characters.
//
// The rank of a pair is its place in a list of merges (tokenizer.json, and GPT-2's byte-level BPE, where every
// character stands for a byte), or the place of the merged token when tokens are sorted by score (SentencePiece in GGUF
// files; see add_score_merges). A character without a token becomes its bytes as the tokens <0x00> .. <0xFF>
// (byte_fallback), or the token unk, or nothing.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include "tokenizer/subword.h"

namespace occ {

// Maps a pair of symbols to its rank and to the merged symbol. It is a hash table with open addressing, because every
// step of a merge looks up pairs in it.
class MergeTable {
 public:
  struct Merge {
    uint64_t pair = kEmpty;
    uint32_t rank = 0;
    int32_t result = -1;
  };
  // Does nothing if the pair has been added before.
  void add(int32_t left, int32_t right, uint32_t rank, int32_t result);
  void reserve(size_t count) { grow(2 * count); }
  const Merge* find(int32_t left, int32_t right) const;  // null if the pair is not in the table

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  static uint64_t key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot(uint64_t pair) const;
  void grow(size_t size);

  std::vector<Merge> table_;
  size_t used_ = 0;
};

struct BpeOptions {
  bool byte_fallback = false;  // characters without a token become tokens of their bytes
  bool fuse_unk = false;       // several characters without a token in a row become one unk
  bool ignore_merges = false;  // a word that is a token as a whole is not encoded by merges
  std::optional<TokenId> unk;  // token for characters without a token; none: they are dropped
};

class Bpe final : public SubwordModel {
 public:
  // `vocabulary` must outlive this object.
  Bpe(const Vocabulary& vocabulary, const BpeOptions& options);

  void reserve_merges(size_t count) { merges_.reserve(count); }
  // Adds a merge of two texts. A text need not be a token: it may be a step on the way to one.
  void add_merge(std::string_view left, std::string_view right, uint32_t rank);
  // Adds as merges all pairs of symbols (tokens or single characters) whose concatenation is a token. Higher scores
  // have lower ranks. scores: one per token of the vocabulary.
  void add_score_merges(std::span<const float> scores);
  // Whether no merge makes a text in which U+2581 (SentencePiece's space) follows another character. Then a text may be
  // cut before each run of U+2581 without changing the result.
  bool cuts_before_metaspace() const;

  void encode(std::string_view word, std::vector<TokenId>& out) const override;

 private:
  // The symbol of a text: the id of its token, or a number >= vocabulary_.tokens.size() if it is not a token.
  int32_t symbol(std::string_view text);
  int32_t char_symbol(std::string_view word, size_t& at) const;  // -1 if there is none
  std::string_view text_of(int32_t symbol) const;
  void append_unknown(std::string_view character, std::vector<int32_t>& out, bool& after_unk) const;

  const Vocabulary& vocabulary_;
  BpeOptions options_;
  std::vector<std::string> extra_;  // texts of the symbols that are not tokens
  StringMap<int32_t> extra_ids_;
  std::unordered_map<uint32_t, int32_t> chars_;  // symbols of single characters
  std::array<int32_t, 128> ascii_;
  std::array<TokenId, 256> bytes_;
  MergeTable merges_;
  std::vector<int32_t> results_;  // merged symbols of all merges
  std::string merged_;            // text of the last merge, to save memory allocations
};

}  // namespace occ
