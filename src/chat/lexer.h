// Cuts a template into tokens, as jinja2 does with trim_blocks and lstrip_blocks (jinja2/lexer.py): of white space
// before a block tag the part on its line is removed, and the line end after it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace occ::jinja {

enum class TokenKind : uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind;
  uint32_t line;
  std::string text;  // of strings: unescaped
  int64_t integer = 0;
  double real = 0;
};

// `source` must be valid UTF-8. The last token is kEnd. Throws Fault; its message begins with the line.
std::vector<Token> tokenize(std::string_view source);

}  // namespace occ::jinja
