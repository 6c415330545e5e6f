// What the steps of a tokenizer may do to a text. A tokenizer is a file from somebody else: a few bytes of it, say a
// list of steps that each double a text, must not take all time and memory. The limits are far from what tokenizers in
// use need (about ten steps, six times the bytes).
#pragma once

#include <cstddef>
#include <string>

#include "base/error.h"

namespace occ {

inline constexpr size_t kMaxSteps = 64;               // normalizers, pre-tokenizers, replacements of a decoder: of each
inline constexpr size_t kMaxInsertedBytes = 64;       // a text that one step puts in at a place
inline constexpr size_t kMaxAddedIds = 1024;          // tokens around a text
inline constexpr size_t kMaxWordPieceChars = 1024;    // of a word that WordPiece takes apart; longer ones are unknown
inline constexpr size_t kMaxScoredTokenBytes = 1024;  // of a token that merges by score lead to
inline constexpr size_t kMaxTemplateBytes = 262'144;  // of a chat template
inline constexpr size_t kMostGrowth = 16;             // of a text, in bytes, and
inline constexpr size_t kFreeGrowth = 4096;           // that much on top, for short ones

// Bytes that are left for what the steps make of a text of `bytes` bytes, part by part.
class GrowthLimit {
 public:
  // `where`: the file, for errors.
  GrowthLimit(const std::string& where, size_t bytes) : where_(where), bytes_(bytes) {}
  // Input error if a part that is `bytes` long by now is too much.
  void check(size_t bytes) const {
    const size_t most = kMostGrowth * bytes_ + kFreeGrowth;
    if (bytes <= most - taken_) return;
    throw_input("{}: expected steps that make at most {} bytes of a text of {} bytes, found {}", where_, most, bytes_,
                taken_ + bytes);
  }
  // A part that is finished.
  void take(size_t bytes) {
    check(bytes);
    taken_ += bytes;
  }

 private:
  const std::string& where_;
  size_t bytes_, taken_ = 0;
};

}  // namespace occ
