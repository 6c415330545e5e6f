// Token sequences of a text, for the experiments.
#pragma once

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "tokenizer/tokenizer.h"

namespace occ {

inline std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw_input("{}: cannot be read", path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The first `count` tokens of a text in sequences of `length`, what is left over dropped. Each begins with the token for
// the beginning of a text, in place of its first token, where the tokenizer adds one.
inline std::vector<std::vector<TokenId>> sequences_of(const Tokenizer& tokenizer, const std::string& text, size_t count,
                                                      size_t length) {
  const std::vector<TokenId> tokens = tokenizer.encode(text, {.add_special = true, .parse_special = false});
  std::vector<std::vector<TokenId>> out;
  for (size_t i = 0; i + length <= std::min(count, tokens.size()); i += length) {
    const auto begin = tokens.begin() + static_cast<ptrdiff_t>(i);
    out.emplace_back(begin, begin + static_cast<ptrdiff_t>(length));
    if (tokenizer.adds_bos() && tokenizer.bos()) out.back()[0] = *tokenizer.bos();
  }
  return out;
}

}  // namespace occ
