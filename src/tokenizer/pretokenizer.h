// Steps between a text and its words: normalizers change the text, pre-tokenizers cut it into pieces (and may change
// it too, as the mapping of bytes to characters does). Names and meaning are those of tokenizer.json.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/regex.h"

namespace occ {

using Normalizer = std::function<std::string(std::string)>;

// A text and the pieces of it that are still to be tokenized, from left to right.
struct Pieces {
  struct Range {
    size_t begin, end;
  };
  std::string text;
  std::vector<Range> ranges;
  bool at_start = true;  // the text stands at the beginning of all input

  std::string_view piece(const Range& r) const { return std::string_view(text).substr(r.begin, r.end - r.begin); }
};
using PreTokenizer = std::function<void(Pieces&)>;

// What becomes of a match that pieces are cut at.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// Begin and end of matches in a piece, in order.
using Matcher = std::function<std::vector<std::pair<size_t, size_t>>(std::string_view)>;
Matcher match_string(std::string text);
Matcher match_regex(Regex regex);
Matcher match_chars(bool (*is)(uint32_t c));  // each character alone

// `invert`: what does not match takes the part of what matches.
PreTokenizer split_pieces(Matcher matcher, SplitBehavior behavior, bool invert);
// White space is dropped, punctuation stands alone.
void add_bert_pre_tokenizer(std::vector<PreTokenizer>& out);
// Cuts before each run of U+2581 (Bpe::cuts_before_metaspace).
PreTokenizer cut_before_metaspace();

enum class PrependScheme { kAlways, kFirst, kNever };
// Spaces become `replacement`, one of which may be put in front.
PreTokenizer metaspace(const std::string& replacement, PrependScheme scheme, bool split);

// GPT-2's pattern.
inline constexpr char kGpt2Pattern[] = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// Puts a space in front of pieces that begin with none.
PreTokenizer prefix_space();
// GPT-2's characters for bytes: itself for printable Latin-1, 256 + n for the n-th of the others.
PreTokenizer byte_level();
std::string bytes_to_chars(std::string_view bytes);
// The other way; characters that stand for no byte: false.
bool chars_to_bytes(std::string_view chars, std::string& bytes);

std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

}  // namespace occ
