// The names that `tokenizer.ggml.pre` of a GGUF file may have. Each stands for a list of regular expressions, which are
// applied one after the other to cut a text into pieces for BPE.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace occ {

// What BPE merges: GPT-2's characters for bytes; or the characters of the text, with U+2581 in the place of spaces, and
// tokens <0x00> .. <0xFF> for the bytes of those that have none; or the same without U+2581.
enum class BpeSymbols { kBytes, kMetaspace, kCharacters };

struct GgufPattern {
  std::string_view name;
  std::span<const std::string_view> patterns;  // every match and every part between matches is a piece
  bool ignore_merges = false;                  // as BpeOptions::ignore_merges
  bool add_bos = false;                        // default of tokenizer.ggml.add_bos_token
  BpeSymbols symbols = BpeSymbols::kBytes;
};

// Throws an input error that begins with `what` (the file) and lists the known names if `name` is not one of them.
const GgufPattern& gguf_pattern(std::string_view name, const std::string& what);

// One name for every list of patterns of byte-level BPE; the most common ones come first.
std::vector<std::string> gguf_pattern_names();

}  // namespace occ
