// Added tokens: strings that are found in a text before anything else is done with it.
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
  bool special = false;      // a control token: plain text unless EncodeOptions::parse_special
  bool lstrip = false;       // takes the white space to its left
  bool rstrip = false;       // and to its right
  bool single_word = false;  // only where no word character touches it
};

// Finds the longest token at the leftmost place, again and again.
class AddedTokens {
 public:
  void add(const AddedToken& token);
  // A part of a text: a token, or plain text (id < 0) from begin to end.
  struct Part {
    TokenId id;
    size_t begin, end;
  };
  std::vector<Part> split(std::string_view text, bool parse_special) const;

 private:
  size_t longest(std::string_view text, size_t at, size_t& token) const;

  struct Node {
    std::vector<std::pair<char, uint32_t>> next;
    int32_t token = -1;
  };
  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_{1};
  std::array<bool, 256> first_{};  // bytes that a token begins with
};

}  // namespace occ
