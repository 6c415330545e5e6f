// Normalizers of SentencePiece: the map of characters that its models carry (Precompiled in tokenizer.json), its white
// space, and Nmt.
#pragma once

#include <string>
#include <string_view>

#include "tokenizer/pretokenizer.h"

namespace occ {

// `map`: the size in bytes of a double array (four bytes, little-endian), the double array (a Darts-clone trie whose
// values are places in what follows), then texts that end with a NUL. Of every grapheme of at most 5 bytes, and else of
// every character, the shortest beginning that the trie has is looked up; what it maps to takes the place of the
// whole. Input error that begins with `where` for a map that is damaged.
Normalizer precompiled_charsmap(std::string map, const std::string& where);

// SentencePiece's own normalization (normalizer.cc of its source): at every place the longest beginning that the map has
// is replaced, where the `tokenizers` package takes the shortest; white space then is treated as told, and spaces become
// U+2581. An empty map changes nothing. Errors as above.
struct SentencePieceSpaces {
  bool add_prefix = true;     // put a space before a text
  bool remove_extra = false;  // drop white space at both ends of a text, and all but one space of a run
  bool as_suffix = false;     // add_prefix puts the space behind the text
};
Normalizer sentencepiece_normalizer(std::string map, const SentencePieceSpaces& spaces, const std::string& where);

std::string decode_base64(std::string_view text, const std::string& where);

// Removes control characters and turns unusual spaces into plain ones.
std::string nmt_normalize(std::string_view text);

}  // namespace occ
