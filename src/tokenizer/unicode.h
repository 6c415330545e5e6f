// UTF-8 and the few properties of characters that tokenizers ask for outside of regular expressions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace occ {

// The character that begins at text[at], and moves `at` behind it. `text` must be valid UTF-8 and at < text.size().
uint32_t next_char(std::string_view text, size_t& at);
void append_utf8(uint32_t c, std::string& out);
// Bytes of the character whose first byte this is.
inline size_t utf8_length(char first) {
  const auto b = static_cast<uint8_t>(first);
  return b < 0x80 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

// The same text if it is valid UTF-8; otherwise every maximal part of a sequence that cannot be continued is replaced
// by U+FFFD (as the Unicode standard recommends in section 3.9, and as Python's errors="replace" does).
std::string replace_invalid_utf8(std::string_view text);

bool is_white_space(uint32_t c);  // the Unicode property White_Space
// Categories as the `tokenizers` package has them (an old version of Unicode): P and the ASCII characters for
// punctuation; C, except what is not assigned; Mn; M.
bool is_punctuation(uint32_t c);
bool is_other(uint32_t c);
bool is_mark_nonspacing(uint32_t c);
bool is_mark(uint32_t c);
void append_lower(uint32_t c, std::string& out);

// White_Space as ranges inside [...] of a regular expression.
inline constexpr char kWhiteSpaceClass[] =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

}  // namespace occ
