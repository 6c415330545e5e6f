// What `tokenizer.ggml.pre` of a GGUF file stands for: the patterns that a text is cut at, one after the other.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace occ {

struct GgufPattern {
  std::string_view name;
  std::span<const std::string_view> patterns;  // what matches is a piece, what lies between too
  bool ignore_merges = false;                  // a piece that is a token as a whole stays one
  bool add_bos = false;                        // unless tokenizer.ggml.add_bos_token says otherwise
};

// Input error that lists the known names for any other.
const GgufPattern& gguf_pattern(std::string_view name, const std::string& what);

// One name for every set of patterns, those most in use first.
std::vector<std::string> gguf_pattern_names();

}  // namespace occ
