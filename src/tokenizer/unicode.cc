#include "tokenizer/unicode.h"

#include <algorithm>
#include <span>

#include "tokenizer/unicode_tables.h"

namespace occ {
namespace {

// The range that c lies in, or null.
template <typename Range>
const Range* find_range(std::span<const Range> ranges, uint32_t c) {
  const auto it =
      std::partition_point(ranges.begin(), ranges.end(), [&](const Range& range) { return range.last < c; });
  return it != ranges.end() && it->first <= c ? &*it : nullptr;
}

}  // namespace

uint32_t next_char(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(text[at + i])); };
  const size_t length = utf8_length(text[at]);
  uint32_t c = byte(0);
  if (length == 2) {
    c = (c & 0x1F) << 6 | (byte(1) & 0x3F);
  } else if (length == 3) {
    c = (c & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
  } else if (length == 4) {
    c = (c & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  }
  at += length;
  return c;
}

void append_utf8(uint32_t c, std::string& out) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto first = static_cast<uint8_t>(text[i]);
    // How many bytes follow, and the range of the first of them (this excludes overlong forms and surrogates).
    size_t follow = 0;
    uint8_t low = 0x80, high = 0xBF;
    bool valid = true;
    if (first >= 0x80) {
      if (first >= 0xC2 && first <= 0xDF) {
        follow = 1;
      } else if (first >= 0xE0 && first <= 0xEF) {
        follow = 2;
        if (first == 0xE0) low = 0xA0;
        if (first == 0xED) high = 0x9F;
      } else if (first >= 0xF0 && first <= 0xF4) {
        follow = 3;
        if (first == 0xF0) low = 0x90;
        if (first == 0xF4) high = 0x8F;
      } else {
        valid = false;
      }
    }
    size_t length = 1;
    for (size_t k = 0; valid && k < follow; ++k) {
      const uint8_t next = i + length < text.size() ? static_cast<uint8_t>(text[i + length]) : uint8_t{0};
      if (next < low || next > high) {
        valid = false;
      } else {
        ++length;
        low = 0x80;
        high = 0xBF;
      }
    }
    if (valid) {
      out.append(text, i, length);
    } else {
      out += "\xEF\xBF\xBD";
    }
    i += length;
  }
  return out;
}

bool is_white_space(uint32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_punctuation(uint32_t c) { return find_range(unicode_tables().punctuation, c) != nullptr; }
bool is_other(uint32_t c) { return find_range(unicode_tables().other, c) != nullptr; }
bool is_mark_nonspacing(uint32_t c) { return c >= 0x300 && find_range(unicode_tables().mark_nonspacing, c) != nullptr; }
bool is_mark(uint32_t c) { return c >= 0x300 && find_range(unicode_tables().mark, c) != nullptr; }

void append_lower(uint32_t c, std::string& out) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c));
    return;
  }
  if (c == 0x130) {  // the only one that becomes two characters
    out += "i\u0307";
    return;
  }
  const LowerRange* range = find_range(unicode_tables().lower, c);
  const bool changes = range != nullptr && (c - range->first) % range->step == 0;
  append_utf8(changes ? static_cast<uint32_t>(static_cast<int32_t>(c) + range->delta) : c, out);
}

}  // namespace occ
