// Limits for what a tokenizer file may ask for. Such a file comes from somebody else, and a small malicious one, for
// example with many steps that each double the text, must not use up all time and memory. The limits are far above what
// real tokenizers need (about ten steps, which make a text at most six times as long).
#pragma once

#include <cstddef>
#include <string>

#include "base/error.h"

namespace occ {

// Largest numbers and lengths in bytes.
inline constexpr size_t kMaxSteps = 64;          // of normalizers, of pre-tokenizers, and of replacements of a decoder
inline constexpr size_t kMaxInsertedBytes = 64;  // of a text that a step inserts at one place
inline constexpr size_t kMaxAddedIds = 1024;     // number of tokens that are put around a text
inline constexpr size_t kMaxWordPieceChars = 1024;    // largest WordPieceOptions::max_chars
inline constexpr size_t kMaxScoredTokenBytes = 1024;  // of a token of SentencePiece's vocabulary
inline constexpr size_t kMaxTemplateBytes = 262'144;  // of a chat template
// The steps may make at most kMostGrowth * n + kFreeGrowth bytes of a text of n bytes.
inline constexpr size_t kMostGrowth = 16;
inline constexpr size_t kFreeGrowth = 4096;

// Counts the bytes that the steps make of a text, which they process part by part, and refuses too many.
class GrowthLimit {
 public:
  // bytes: length of the whole text; where: the file, for errors, which must outlive this object.
  GrowthLimit(const std::string& where, size_t bytes) : where_(where), bytes_(bytes) {}
  // Throws an input error if the finished parts and the current one, which is `bytes` long by now, exceed the limit.
  void check(size_t bytes) const {
    const size_t most = kMostGrowth * bytes_ + kFreeGrowth;
    if (bytes <= most - taken_) return;
    throw_input("{}: expected steps that make at most {} bytes of a text of {} bytes, found {}", where_, most, bytes_,
                taken_ + bytes);
  }
  // Counts a finished part.
  void take(size_t bytes) {
    check(bytes);
    taken_ += bytes;
  }

 private:
  const std::string& where_;
  size_t bytes_, taken_ = 0;
};

}  // namespace occ
