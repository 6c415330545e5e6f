// Added tokens: strings, for example control tokens, that are looked for in a text before it is split into words.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace occ {

struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool special = false;      // a control token; found only with EncodeOptions::parse_special
  bool lstrip = false;       // includes the white space to its left
  bool rstrip = false;       // includes the white space to its right
  bool single_word = false;  // found only where no word character is next to it
};

// Finds added tokens from left to right; of several that begin at the same place it takes the longest.
class AddedTokens {
 public:
  void add(const AddedToken& token);
  // A part of a text, bytes [begin, end): an added token, or plain text (id < 0).
  struct Part {
    TokenId id;
    size_t begin, end;
  };
  // Cuts a text into parts that cover it. `text` must be valid UTF-8.
  std::vector<Part> split(std::string_view text, bool parse_special) const;

 private:
  size_t longest(std::string_view text, size_t at, size_t& token) const;

  // A node of the prefix tree of all tokens.
  struct Node {
    std::vector<std::pair<char, uint32_t>> next;
    int32_t token = -1;  // index in tokens_ of the token that ends here, or -1
  };
  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_{1};
  std::array<bool, 256> first_{};  // whether a token begins with this byte
};

}  // namespace occ
