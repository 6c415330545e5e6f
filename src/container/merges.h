// Leaves out of a tokenizer's file what its vocabulary already says. In byte-pair encodings the tokens have the order
// in which training merged them, so that the k-th merge makes the next token in the order of ids that the merges before
// it split into exactly two parts. The text of the merges, some 300 kB even when compressed, is therefore derived from
// the vocabulary; merges that differ are listed. docs/reference/format.md, "Merges of tokenizers", has the algorithm.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace occ {

// What was left out of a text, and how it was printed.
struct MergesText {
  uint64_t at = 0;                      // byte offset in the shortened text at which it belongs
  uint64_t count = 0;                   // number of merges
  std::string open, pair, next, close;  // before the first merge, between its two parts, between merges, after the last
  struct Other {
    uint64_t merge = 0;  // number of a merge that differs from the derived one
    std::string left, right;
    bool operator==(const Other&) const = default;
  };
  std::vector<Other> others;  // in ascending order
  bool operator==(const MergesText&) const = default;
};

// Removes the merges from a JSON text (tokenizer.json of Hugging Face, or gguf.json). Returns nothing and changes
// nothing if there are no merges, or if with_merges() would not restore every byte.
std::optional<MergesText> take_merges(std::string* text);

// Returns the text with its merges. Input error that begins with `what` if it would have more than `most` bytes, or if
// the merges cannot be derived from the vocabulary of the shortened text.
std::string with_merges(std::string_view shortened, const MergesText& merges, uint64_t most, const std::string& what);

}  // namespace occ
