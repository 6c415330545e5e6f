#include "chat/python_text.h"

#include <fmt/format.h>

#include <clocale>
#include <cstring>
#include <cwctype>

#include "chat/value.h"
#include "tokenizer/regex.h"
#include "tokenizer/unicode.h"

namespace occ::jinja {
namespace {

// Characters and their upper case come from the C library.
locale_t unicode_locale() {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return locale;
}

bool has_type(uint32_t c, const char* type) {
  const locale_t locale = unicode_locale();
  if (locale == nullptr) return c < 0x80 && iswctype(static_cast<wint_t>(c), wctype(type)) != 0;
  return iswctype_l(static_cast<wint_t>(c), wctype_l(type, locale), locale) != 0;
}

void append_upper(uint32_t c, std::string& out) {
  if (c == 0xDF) {  // the sharp s, the only frequent one that becomes two characters
    out += "SS";
    return;
  }
  const locale_t locale = unicode_locale();
  append_utf8(locale == nullptr ? static_cast<uint32_t>(c < 0x80 ? toupper(static_cast<int>(c)) : static_cast<int>(c))
                                : static_cast<uint32_t>(towupper_l(static_cast<wint_t>(c), locale)),
              out);
}

bool is_line_end(uint32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

size_t previous_code_point(std::string_view text, size_t at) {
  do --at;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80);
  return at;
}

uint32_t char_at(std::string_view text, size_t at) { return next_char(text, at); }

bool is_cased(uint32_t c) { return has_type(c, "upper") || has_type(c, "lower"); }

// Upper case for the first letter of every word, lower case for the others; words are runs of letters with a case.
std::string titled(std::string_view text) {
  std::string out;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const uint32_t c = next_char(text, at);
    if (inside) {
      append_lower(c, out);
    } else {
      append_upper(c, out);
    }
    inside = is_cased(c);
  }
  return out;
}

}  // namespace

size_t code_points(std::string_view text) {
  size_t n = 0;
  for (const char c : text) n += (static_cast<uint8_t>(c) & 0xC0) != 0x80;
  return n;
}

size_t next_code_point(std::string_view text, size_t at) { return std::min(text.size(), at + utf8_length(text[at])); }

size_t byte_of(std::string_view text, size_t n) {
  size_t at = 0;
  for (; n > 0 && at < text.size(); --n) at = next_code_point(text, at);
  return at;
}

bool is_space(uint32_t c) { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); }

std::string_view strip(std::string_view text, const std::string* chars, bool left, bool right) {
  const auto goes = [&](size_t at) {
    if (chars == nullptr) return is_space(char_at(text, at));
    return chars->find(text.substr(at, utf8_length(text[at]))) != std::string::npos;
  };
  size_t begin = 0, end = text.size();
  while (left && begin < end && goes(begin)) begin = next_code_point(text, begin);
  while (right && end > begin) {
    const size_t last = previous_code_point(text, end);
    if (!goes(last)) break;
    end = last;
  }
  return text.substr(begin, end - begin);
}

size_t find_bytes(std::string_view text, std::string_view part, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (part.empty()) return from;
  const void* at = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return at == nullptr ? std::string_view::npos : static_cast<size_t>(static_cast<const char*>(at) - text.data());
}

std::string replace(std::string_view text, std::string_view from, std::string_view to, int64_t most) {
  std::string out;
  size_t at = 0;
  if (from.empty()) {  // before every character and at the end
    for (; most != 0 && at <= text.size(); --most) {
      out += to;
      if (at == text.size()) return out;
      const size_t next = next_code_point(text, at);
      out += text.substr(at, next - at);
      at = next;
    }
    return out.append(text.substr(at));
  }
  for (; most != 0; --most) {
    const size_t found = find_bytes(text, from, at);
    if (found == std::string_view::npos) break;
    out += text.substr(at, found - at);
    out += to;
    at = found + from.size();
  }
  return out.append(text.substr(at));
}

std::vector<std::string> split(std::string_view text, const std::string* separator, int64_t most) {
  std::vector<std::string> out;
  size_t at = 0;
  if (separator != nullptr) {
    for (; most != 0; --most) {
      const size_t found = find_bytes(text, *separator, at);
      if (found == std::string_view::npos) break;
      out.emplace_back(text.substr(at, found - at));
      at = found + separator->size();
    }
    out.emplace_back(text.substr(at));
    return out;
  }
  while (true) {
    while (at < text.size() && is_space(char_at(text, at))) at = next_code_point(text, at);
    if (at == text.size()) return out;
    if (most-- == 0) {
      out.emplace_back(text.substr(at));
      return out;
    }
    const size_t begin = at;
    while (at < text.size() && !is_space(char_at(text, at))) at = next_code_point(text, at);
    out.emplace_back(text.substr(begin, at - begin));
  }
}

std::vector<std::string> split_right(std::string_view text, const std::string* separator, int64_t most) {
  if (most < 0) return split(text, separator, -1);
  // All parts, of which the first ones are joined again with what stood between them.
  std::vector<std::string> parts = split(text, separator, -1);
  const auto keep = static_cast<size_t>(most);
  if (parts.size() <= keep + 1) return parts;
  std::vector<std::string> out(parts.end() - most, parts.end());
  std::string_view head = text;
  for (size_t i = 0; i < keep; ++i) {
    if (separator == nullptr) head = strip(head, nullptr, false, true);
    head.remove_suffix(parts[parts.size() - 1 - i].size() + (separator == nullptr ? 0 : separator->size()));
  }
  if (separator == nullptr) head = strip(head, nullptr, false, true);
  out.insert(out.begin(), std::string(head));
  return out;
}

std::vector<std::string> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string> out;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = at;
    const uint32_t c = next_char(text, at);
    if (!is_line_end(c)) continue;
    if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
    out.emplace_back(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) out.emplace_back(text.substr(begin));
  return out;
}

std::string lower(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t c = next_char(text, at);
    // A sigma at the end of a word has a form of its own.
    if (c == 0x3A3 && begin > 0 && has_type(char_at(text, previous_code_point(text, begin)), "alpha") &&
        (at == text.size() || !has_type(char_at(text, at), "alpha"))) {
      out += "\u03C2";
    } else {
      append_lower(c, out);
    }
  }
  return out;
}

std::string upper(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) append_upper(next_char(text, at), out);
  return out;
}

std::string capitalize(std::string_view text) {
  if (text.empty()) return "";
  const size_t first = next_code_point(text, 0);
  return upper(text.substr(0, first)) + lower(text.substr(first));
}

std::string title(std::string_view text) { return titled(text); }

std::string title_filter(std::string_view text) {
  std::string out;
  bool start = true;
  for (size_t at = 0; at < text.size();) {
    const uint32_t c = next_char(text, at);
    if (start) {
      append_upper(c, out);
    } else {
      append_lower(c, out);
    }
    start = is_space(c) || (c < 0x80 && c != 0 && std::strchr("-({[<", static_cast<int>(c)) != nullptr);
  }
  return out;
}

bool is_all(std::string_view text, std::string_view what) {
  bool cased = false;
  for (size_t at = 0; at < text.size();) {
    const uint32_t c = next_char(text, at);
    const bool upper_c = has_type(c, "upper"), lower_c = has_type(c, "lower");
    cased = cased || upper_c || lower_c;
    if (what == "isspace" && !is_space(c)) return false;
    if (what == "isalpha" && !(has_type(c, "alpha") && !has_type(c, "digit"))) return false;
    if ((what == "isdigit" || what == "isdecimal" || what == "isnumeric") && !(c >= '0' && c <= '9')) return false;
    if (what == "isalnum" && !has_type(c, "alnum")) return false;
    if (what == "islower" && upper_c) return false;
    if (what == "isupper" && lower_c) return false;
  }
  return what == "islower" || what == "isupper" ? cased : !text.empty();
}

std::string python_quote(std::string_view text) {
  static const Regex kUnprintable(R"([\p{C}\p{Z}])", "chat template");
  const char quote = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  size_t plain = 0;
  const auto escape = [&](size_t begin, size_t end, const std::string& as) {
    out += text.substr(plain, begin - plain);
    out += as;
    plain = end;
  };
  const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
  std::vector<bool> odd(ascii ? 0 : text.size());
  if (!ascii) {
    for (const auto& [begin, end] : kUnprintable.matches(text)) odd[begin] = true;
  }
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t c = next_char(text, at);
    if (c == '\\' || c == static_cast<uint32_t>(quote)) {
      escape(begin, at, std::string("\\") + static_cast<char>(c));
    } else if (c == '\n') {
      escape(begin, at, "\\n");
    } else if (c == '\r') {
      escape(begin, at, "\\r");
    } else if (c == '\t') {
      escape(begin, at, "\\t");
    } else if (c < 0x20 || c == 0x7F || (c >= 0x80 && odd[begin])) {
      escape(begin, at,
             c < 0x100     ? fmt::format("\\x{:02x}", c)
             : c < 0x10000 ? fmt::format("\\u{:04x}", c)
                           : fmt::format("\\U{:08x}", c));
    }
  }
  escape(text.size(), text.size(), "");
  return out + quote;
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string format_time(const std::string& format, std::time_t time) {
  std::tm parts{};
  if (format.size() > 1000) fail("strftime_now: expected a short format");
  localtime_r(&time, &parts);
  // A field of the C locale has less than 40 bytes, unless the format itself asks for a width.
  for (size_t i = 0; i + 1 < format.size(); ++i) {
    if (format[i] == '%' && format[i + 1] >= '0' && format[i + 1] <= '9') fail("strftime_now: expected no widths");
  }
  std::string out(40 * format.size() + 100, '\0');
  static const locale_t plain = newlocale(LC_ALL_MASK, "C", nullptr);
  out.resize(strftime_l(out.data(), out.size(), format.c_str(), &parts, plain));
  return out;
}

}  // namespace occ::jinja
