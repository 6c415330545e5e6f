// UTF-8, and the few properties of characters that tokenizers use outside of regular expressions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace occ {

// Returns the character (code point) that begins at text[at] and moves `at` behind it. `text` must be valid UTF-8, and
// at < text.size().
uint32_t next_char(std::string_view text, size_t& at);
void append_utf8(uint32_t c, std::string& out);
// Length in bytes of the character with this first byte.
inline size_t utf8_length(char first) {
  const auto b = static_cast<uint8_t>(first);
  return b < 0x80 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

// Returns a valid UTF-8 text unchanged. In other texts every maximal part of an invalid sequence is replaced by U+FFFD,
// as the Unicode standard recommends in section 3.9 and as Python's errors="replace" does.
std::string replace_invalid_utf8(std::string_view text);

bool is_white_space(uint32_t c);  // the Unicode property White_Space
// General categories as in the `tokenizers` package, which uses an old version of Unicode. is_punctuation: P and all
// ASCII characters that are neither letters, digits, spaces nor control characters; is_other: C without unassigned
// characters; is_mark_nonspacing: Mn; is_mark: M.
bool is_punctuation(uint32_t c);
bool is_other(uint32_t c);
bool is_mark_nonspacing(uint32_t c);
bool is_mark(uint32_t c);
// Appends the lower-case form of a character.
void append_lower(uint32_t c, std::string& out);

// The characters with the property White_Space, to be put inside [...] of a regular expression.
inline constexpr char kWhiteSpaceClass[] =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

}  // namespace occ
