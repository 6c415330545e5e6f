#include "tokenizer/charsmap.h"

#include <cstring>
#include <memory>
#include <optional>

#include "base/error.h"
#include "tokenizer/limits.h"
#include "tokenizer/unicode.h"

namespace occ {
namespace {

class Charsmap {
 public:
  Charsmap(std::string map, const std::string& where) : graphemes_(R"(\X)", where) {
    if (map.size() < 8) throw_input("{}: expected a map of characters, found {} bytes", where, map.size());
    const size_t bytes = word(map, 0);
    if (bytes % 4 != 0 || bytes == 0 || bytes > map.size() - 4) {
      throw_input("{}: expected a double array inside of {} bytes, found {}", where, map.size(), bytes);
    }
    for (size_t at = 0; at < bytes; at += 4) units_.push_back(word(map, 4 + at));
    texts_ = map.substr(4 + bytes);
    texts_ += '\0';
  }

  std::string operator()(const std::string& text) const {
    std::string out;
    for (const auto& [begin, end] : graphemes_.matches(text)) {
      const std::string_view grapheme = std::string_view(text).substr(begin, end - begin);
      if (grapheme.size() < 6) {
        if (const auto to = find(grapheme)) {
          out += *to;
          continue;
        }
      }
      for (size_t at = 0; at < grapheme.size();) {
        const std::string_view c = grapheme.substr(at, utf8_length(grapheme[at]));
        const auto to = find(c);
        out += to ? *to : c;
        at += c.size();
      }
    }
    return out;
  }

  // A beginning of a text that is in the trie, and what it stands for.
  struct Match {
    size_t length;
    std::string_view to;
  };
  // The shortest one, or the longest.
  std::optional<Match> search(std::string_view key, bool shortest) const {
    std::optional<Match> best;
    size_t at = offset(units_[0]);
    for (size_t i = 0; i < key.size(); ++i) {
      const auto byte = static_cast<uint8_t>(key[i]);
      at ^= byte;
      if (byte == 0 || at >= units_.size()) break;
      const uint32_t unit = units_[at];
      if ((unit & (1u << 31 | 0xFF)) != byte) break;
      at ^= offset(unit);
      if (at >= units_.size()) break;
      if ((unit >> 8 & 1) == 0) continue;
      const size_t place = units_[at] & 0x7FFFFFFF;
      if (place >= texts_.size()) break;
      const std::string_view to(texts_.data() + place);
      if (to.size() > kMaxInsertedBytes) break;
      best = Match{i + 1, to};
      if (shortest) break;
    }
    return best;
  }

 private:
  static uint32_t word(const std::string& bytes, size_t at) {
    uint32_t value = 0;
    for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
    return value;
  }
  static uint32_t offset(uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); }

  // What the shortest beginning of `key` that is in the trie stands for.
  std::optional<std::string_view> find(std::string_view key) const {
    const std::optional<Match> match = search(key, true);
    return match ? std::optional(match->to) : std::nullopt;
  }

  Regex graphemes_;
  std::vector<uint32_t> units_;
  std::string texts_;
};

}  // namespace

Normalizer precompiled_charsmap(std::string map, const std::string& where) {
  return [charsmap = std::make_shared<Charsmap>(std::move(map), where)](const std::string& text) {
    return replace_invalid_utf8((*charsmap)(text));
  };
}

Normalizer sentencepiece_normalizer(std::string map, const SentencePieceSpaces& spaces, const std::string& where) {
  const auto charsmap = map.empty() ? nullptr : std::make_shared<const Charsmap>(std::move(map), where);
  return [charsmap, spaces](const std::string& text) {
    constexpr std::string_view kMeta = "\u2581";
    constexpr size_t kLongest = 64;  // of what a map replaces
    std::string out;
    bool after_space = spaces.remove_extra, empty = true;  // empty: only spaces so far, which are dropped
    for (size_t at = 0; at < text.size();) {
      const auto match = charsmap ? charsmap->search(std::string_view(text).substr(at, kLongest), false) : std::nullopt;
      const size_t length = match ? match->length : utf8_length(text[at]);
      const std::string_view to = match ? match->to : std::string_view(text).substr(at, length);
      at += length;
      for (const char c : to) {
        if (c == ' ' && after_space) continue;
        if (empty && spaces.add_prefix && !spaces.as_suffix) out += kMeta;
        empty = false;
        if (c == ' ') {
          out += kMeta;
        } else {
          out += c;
        }
        after_space = c == ' ' && spaces.remove_extra;
      }
    }
    while (spaces.remove_extra && out.ends_with(kMeta)) out.resize(out.size() - kMeta.size());
    if (spaces.add_prefix && spaces.as_suffix && !empty) out += kMeta;
    return replace_invalid_utf8(out);
  };
}

std::string decode_base64(std::string_view text, const std::string& where) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) throw_input("{}: expected base64, found another character", where);
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 0xFF);
    }
  }
  return out;
}

std::string nmt_normalize(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const uint32_t c = next_char(text, at);
    const bool removed =
        (c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
    const bool space = c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
                       c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
    if (!removed) append_utf8(space ? ' ' : c, out);
  }
  return out;
}

}  // namespace occ
