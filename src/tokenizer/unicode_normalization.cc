#include "tokenizer/unicode_normalization.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "base/check.h"
#include "tokenizer/unicode.h"
#include "tokenizer/unicode_tables.h"

namespace occ {
namespace {

// Hangul syllables are computed: L V T at these places (The Unicode Standard, section 3.12).
constexpr uint32_t kSyllable = 0xAC00, kL = 0x1100, kV = 0x1161, kT = 0x11A7;
constexpr uint32_t kVCount = 21, kTCount = 28, kLCount = 19, kSyllables = kLCount * kVCount * kTCount;

// Characters below neither decompose nor compose with what stands before them, and those below kFirstDecomposing
// do not decompose.
constexpr uint32_t kFirstCombining = 0x300;
constexpr uint32_t kFirstDecomposing = 0xC0;

class Forms {
 public:
  Forms() {
    const std::string_view text = unicode_tables().decompositions;
    uint32_t c = 0;
    std::vector<uint32_t> excluded;
    for (size_t at = 0; at < text.size(); ++at) {
      c += number(text, at);
      if (text[at] == '>') excluded.push_back(c);
      auto& to = decompositions_[c];
      do to.push_back(number(text, ++at));
      while (text[at] == ',');
    }
    // A composite is a character and a last mark; the character may be a composite itself.
    std::vector<uint32_t> composites;
    for (const auto& [composite, to] : decompositions_) {
      if (!std::binary_search(excluded.begin(), excluded.end(), composite)) composites.push_back(composite);
    }
    std::sort(composites.begin(), composites.end(), [&](uint32_t a, uint32_t b) {
      const size_t length_a = decompositions_[a].size(), length_b = decompositions_[b].size();
      return length_a != length_b ? length_a < length_b : a < b;
    });
    for (const uint32_t composite : composites) {
      const auto& to = decompositions_[composite];
      uint32_t first = to[0];
      for (size_t i = 1; i + 1 < to.size(); ++i) first = compose(first, to[i]);
      OCC_CHECK(to.size() > 1 && first != 0);
      compositions_.emplace(key(first, to.back()), composite);
    }
    for (const CombiningRange& r : unicode_tables().combining) {
      for (uint32_t k = r.first; k <= r.last; ++k) classes_.emplace(k, r.combining_class);
    }
  }

  uint8_t combining_class(uint32_t c) const {
    if (c < kFirstCombining) return 0;
    const auto it = classes_.find(c);
    return it == classes_.end() ? uint8_t{0} : it->second;
  }

  void decompose(uint32_t c, std::vector<uint32_t>& out) const {
    if (c >= kSyllable && c < kSyllable + kSyllables) {
      const uint32_t s = c - kSyllable;
      out.push_back(kL + s / (kVCount * kTCount));
      out.push_back(kV + s % (kVCount * kTCount) / kTCount);
      if (s % kTCount != 0) out.push_back(kT + s % kTCount);
      return;
    }
    const auto it = c < kFirstDecomposing ? decompositions_.end() : decompositions_.find(c);
    if (it == decompositions_.end()) {
      out.push_back(c);
    } else {
      out.insert(out.end(), it->second.begin(), it->second.end());
    }
  }

  // The composite of two characters, or 0.
  uint32_t compose(uint32_t a, uint32_t b) const {
    if (a >= kL && a < kL + kLCount && b >= kV && b < kV + kVCount) {
      return kSyllable + ((a - kL) * kVCount + (b - kV)) * kTCount;
    }
    if (a >= kSyllable && a < kSyllable + kSyllables && (a - kSyllable) % kTCount == 0 && b > kT && b < kT + kTCount) {
      return a + (b - kT);
    }
    const auto it = compositions_.find(key(a, b));
    return it == compositions_.end() ? 0 : it->second;
  }

 private:
  static uint64_t key(uint32_t a, uint32_t b) { return static_cast<uint64_t>(a) << 32 | b; }

 public:
  // Hexadecimal digits from text[at]; `at` comes to stand behind them.
  static uint32_t number(std::string_view text, size_t& at) {
    uint32_t value = 0;
    for (; at < text.size(); ++at) {
      const char d = text[at];
      if (d >= '0' && d <= '9') {
        value = 16 * value + static_cast<uint32_t>(d - '0');
      } else if (d >= 'a' && d <= 'f') {
        value = 16 * value + static_cast<uint32_t>(d - 'a' + 10);
      } else {
        break;
      }
    }
    return value;
  }

 private:
  std::unordered_map<uint32_t, std::vector<uint32_t>> decompositions_;
  std::unordered_map<uint64_t, uint32_t> compositions_;
  std::unordered_map<uint32_t, uint8_t> classes_;
};

// Every character in place of which compatibility forms have others.
std::string compatible(std::string_view text) {
  using Table = std::unordered_map<uint32_t, std::string>;
  static const Table kTable = [] {
    Table table;
    const std::string_view all = compatibility_decompositions();
    uint32_t c = 0;
    for (size_t at = 0; at < all.size(); ++at) {
      c += Forms::number(all, at);
      do append_utf8(Forms::number(all, ++at), table[c]);
      while (at < all.size() && all[at] == ',');
    }
    return table;
  }();
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const auto it = kTable.find(next_char(text, at));
    if (it == kTable.end()) {
      out += text.substr(begin, at - begin);
    } else {
      out += it->second;
    }
  }
  return out;
}

const Forms& forms() {
  static const Forms kForms;
  return kForms;
}

// `text` decomposed, with marks in canonical order.
std::vector<uint32_t> decomposed(std::string_view text) {
  std::vector<uint32_t> chars;
  for (size_t at = 0; at < text.size();) forms().decompose(next_char(text, at), chars);
  const auto combining_class = [](uint32_t c) { return forms().combining_class(c); };
  for (auto it = chars.begin(); it != chars.end();) {
    if (combining_class(*it) == 0) {
      ++it;
      continue;
    }
    const auto end = std::find_if(it, chars.end(), [&](uint32_t c) { return combining_class(c) == 0; });
    std::stable_sort(it, end, [&](uint32_t a, uint32_t b) { return combining_class(a) < combining_class(b); });
    it = end;
  }
  return chars;
}

void append(const std::vector<uint32_t>& chars, std::string& out) {
  for (const uint32_t c : chars) append_utf8(c, out);
}

void compose(std::vector<uint32_t>& chars) {
  size_t starter = chars.size(), count = 0;
  int last_class = 0;  // of the character before, since the starter
  for (const uint32_t c : chars) {
    const int own = forms().combining_class(c);
    // Blocked if something of an equal or higher class, or another starter, lies between.
    const bool reaches = starter < chars.size() && (count == starter + 1 || (last_class != 0 && last_class < own));
    const uint32_t composite = reaches ? forms().compose(chars[starter], c) : 0;
    if (composite != 0) {
      chars[starter] = composite;
      continue;
    }
    if (own == 0) starter = count;
    last_class = own;
    chars[count++] = c;
  }
  chars.resize(count);
}

// Calls change(part, out) for the parts of the text with characters that may change, together with the character
// before them, and copies the others.
template <typename F>
std::string change_parts(std::string_view text, uint32_t first, const F& change) {
  std::string out;
  out.reserve(text.size());
  size_t copied = 0, before = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t here = at;
    if (next_char(text, at) < first) {
      before = here;
      continue;
    }
    out.append(text, copied, before - copied);
    size_t end = at;
    for (size_t next = at; next < text.size() && next_char(text, next) >= first;) end = next;
    change(text.substr(before, end - before), out);
    copied = before = at = end;
  }
  return out.append(text, copied);
}

// change(c, out) appends what becomes of a character.
template <typename F>
std::string change_chars(std::string_view text, const F& change) {
  std::string out;
  out.reserve(text.size() + 16);
  for (size_t at = 0; at < text.size();) change(next_char(text, at), out);
  return out;
}

// The blocks of ideographs that BERT knows.
bool is_ideograph(uint32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

}  // namespace

std::string to_nfd(std::string_view text) {
  return change_parts(text, kFirstDecomposing,
                      [](std::string_view part, std::string& out) { append(decomposed(part), out); });
}

std::string to_nfc(std::string_view text) {
  return change_parts(text, kFirstCombining, [](std::string_view part, std::string& out) {
    std::vector<uint32_t> chars = decomposed(part);
    compose(chars);
    append(chars, out);
  });
}

std::string to_nfkd(std::string_view text) { return to_nfd(compatible(text)); }
std::string to_nfkc(std::string_view text) { return to_nfc(compatible(text)); }

std::string to_lower(std::string_view text) { return change_chars(text, append_lower); }

std::string strip_marks(std::string_view text) {
  return change_chars(text, [](uint32_t c, std::string& out) {
    if (!is_mark(c)) append_utf8(c, out);
  });
}

std::string bert_normalize(std::string_view text, const BertOptions& options) {
  std::string normal = change_chars(text, [&](uint32_t c, std::string& out) {
    const bool space = c == '\t' || c == '\n' || c == '\r' || is_white_space(c);
    const bool control = c != '\t' && c != '\n' && c != '\r' && (c == 0 || c == 0xFFFD || is_other(c));
    if (options.clean_text && control) return;
    if (options.clean_text && space) c = ' ';
    const bool apart = options.handle_chinese_chars && is_ideograph(c);
    if (apart) out.push_back(' ');
    append_utf8(c, out);
    if (apart) out.push_back(' ');
  });
  if (options.strip_accents) {
    normal = change_chars(to_nfd(normal), [](uint32_t c, std::string& out) {
      if (!is_mark_nonspacing(c)) append_utf8(c, out);
    });
  }
  return options.lowercase ? to_lower(normal) : normal;
}

}  // namespace occ
