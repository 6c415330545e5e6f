// The steps that split a text into words. Normalizers change the text. Pre-tokenizers cut it into pieces; some of them
// change it too, such as the one that maps bytes to characters. Names and meanings are those of tokenizer.json.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/regex.h"

namespace occ {

using Normalizer = std::function<std::string(std::string)>;

// A text and its pieces that are to be tokenized, from left to right. Ranges are in bytes.
struct Pieces {
  struct Range {
    size_t begin, end;
  };
  std::string text;
  std::vector<Range> ranges;
  bool at_start = true;  // the text is at the beginning of the whole input

  std::string_view piece(const Range& r) const { return std::string_view(text).substr(r.begin, r.end - r.begin); }
};
using PreTokenizer = std::function<void(Pieces&)>;

// What happens to a match at which a piece is cut: it is dropped, becomes a piece of its own, joins the part before it
// or the part after it, or becomes one piece together with the matches next to it.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// Finds the matches in a piece: begin and end in bytes, in ascending order, without overlap.
using Matcher = std::function<std::vector<std::pair<size_t, size_t>>(std::string_view)>;
Matcher match_string(std::string text);
Matcher match_regex(Regex regex);
Matcher match_lengths(size_t length);         // every run of so many characters, and what is left
Matcher match_chars(bool (*is)(uint32_t c));  // every character with this property is a match

// Cuts every piece at the matches. invert: the parts between matches are treated as matches, and the matches as the
// rest.
PreTokenizer split_pieces(Matcher matcher, SplitBehavior behavior, bool invert);
// Adds BERT's steps: white space separates pieces and is dropped, every punctuation character is a piece.
void add_bert_pre_tokenizer(std::vector<PreTokenizer>& out);
// Cuts where the script of characters changes (UnicodeScripts). Characters without a script go with what stands before
// them; at the beginning of a piece they are dropped, as the `tokenizers` package does it.
PreTokenizer split_scripts();
// Cuts before each run of U+2581. This saves time and does not change ids if Bpe::cuts_before_metaspace.
PreTokenizer cut_before_metaspace();

// Where metaspace() puts the replacement in front: of every piece, of the first piece of the input, nowhere.
enum class PrependScheme { kAlways, kFirst, kNever };
// Replaces spaces by `replacement` (usually U+2581) and may put one more in front of a piece that does not begin with
// it. split: then cuts before every replacement.
PreTokenizer metaspace(const std::string& replacement, PrependScheme scheme, bool split);

// The regular expression whose matches are the words of GPT-2.
inline constexpr char kGpt2Pattern[] = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// Puts a space in front of every piece that does not begin with one.
PreTokenizer prefix_space();
// Replaces every byte by the character that stands for it in GPT-2's vocabulary: a printable character of Latin-1
// stands for itself, and character 256 + n for the n-th of the other bytes.
PreTokenizer byte_level();
std::string bytes_to_chars(std::string_view bytes);
// The inverse of bytes_to_chars. Returns false if a character stands for no byte.
bool chars_to_bytes(std::string_view chars, std::string& bytes);

std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

}  // namespace occ
