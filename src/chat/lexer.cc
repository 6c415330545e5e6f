#include "chat/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "chat/python_text.h"
#include "chat/value.h"
#include "tokenizer/unicode.h"

namespace occ::jinja {
namespace {

constexpr size_t kMostTokens = 200'000;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_char(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<uint8_t>(c) >= 0x80;
}
int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

std::string with_plain_lines(std::string_view source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(with_plain_lines(source)) {
    if (source_.ends_with('\n')) source_.pop_back();
  }

  std::vector<Token> run() {
    while (at_ < source_.size()) root();
    push(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void wrong(const std::string& message) const { fail("line ", std::to_string(line_), ": ", message); }
  bool looking_at(std::string_view text) const { return std::string_view(source_).substr(at_, text.size()) == text; }
  char peek(size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }

  // Goes on to byte `to` and counts lines.
  void advance(size_t to) {
    line_ += static_cast<uint32_t>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                              source_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    if (to > at_) line_starting_ = source_[to - 1] == '\n';
    at_ = to;
  }
  size_t after_space(size_t at) const {
    while (at < source_.size()) {
      size_t next = at;
      if (!is_space(next_char(source_, next))) break;
      at = next;
    }
    return at;
  }
  void push(TokenKind kind, std::string text) {
    if (tokens_.size() >= kMostTokens) wrong("expected fewer tokens");
    tokens_.push_back({kind, line_, std::move(text)});
  }

  // Text up to a tag, without the white space that the tag removes.
  void data(size_t end, char sign, bool variable) {
    std::string_view text = std::string_view(source_).substr(at_, end - at_);
    if (sign == '-') {
      text = strip(text, nullptr, false, true);
    } else if (sign != '+' && !variable) {
      const size_t line = text.rfind('\n') + 1;  // 0 if there is no line end
      if ((line > 0 || line_starting_) && line < text.size() && strip(text.substr(line), nullptr, true, true).empty()) {
        text = text.substr(0, line);
      }
    }
    if (!text.empty()) push(TokenKind::kData, std::string(text));
    advance(end);
  }

  // If a tag ends here: the byte behind it and what it removes, else 0.
  size_t tag_end(std::string_view end, bool trims, bool takes_plus) const {
    size_t at = at_;
    const char sign = peek();
    if (sign == '-' || (sign == '+' && takes_plus)) ++at;
    if (std::string_view(source_).substr(at, end.size()) != end) return 0;
    const bool signed_end = at != at_;
    at += end.size();
    if (signed_end) return sign == '-' ? after_space(at) : at;
    return trims && at < source_.size() && source_[at] == '\n' ? at + 1 : at;
  }

  void root() {
    size_t tag = at_;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == std::string::npos) {
        push(TokenKind::kData, source_.substr(at_));
        return advance(source_.size());
      }
      const char next = tag + 1 < source_.size() ? source_[tag + 1] : '\0';
      if (next == '%' || next == '{' || next == '#') break;
      ++tag;
    }
    const char type = source_[tag + 1];
    const char after = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    const char sign = after == '-' || after == '+' ? after : '\0';
    data(tag, sign, type == '{');
    const size_t inside = tag + 2 + (sign != '\0');
    if (type == '%' && raw(inside)) return;
    advance(inside);
    if (type == '#') return comment();
    push(type == '%' ? TokenKind::kBlockBegin : TokenKind::kVariableBegin, "");
    inside_tag(type == '%');
  }

  void comment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) wrong("expected the end of a comment, found none");
    const char sign = end > at_ ? source_[end - 1] : '\0';
    size_t next = end + 2;
    if (sign == '-') {
      next = after_space(next);
    } else if (sign != '+' && next < source_.size() && source_[next] == '\n') {
      ++next;
    }
    advance(next);
  }

  // {% raw %} text {% endraw %}; false if this is another tag. `at`: behind "{%" and its sign.
  bool raw(size_t at) {
    at = after_space(at);
    if (source_.compare(at, 3, "raw") != 0) return false;
    const size_t before = at_;
    at_ = after_space(at + 3);
    const size_t begin = tag_end("%}", false, false);
    at_ = before;
    if (begin == 0) return false;
    advance(begin);
    for (size_t tag = source_.find("{%", at_); tag != std::string::npos; tag = source_.find("{%", tag + 2)) {
      const char after = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      const char sign = after == '-' || after == '+' ? after : '\0';
      const size_t word = after_space(tag + 2 + (sign != '\0'));
      if (source_.compare(word, 6, "endraw") != 0) continue;
      const size_t start = at_;
      at_ = after_space(word + 6);
      const size_t end = tag_end("%}", true, true);
      at_ = start;
      if (end == 0) continue;
      data(tag, sign, false);
      advance(end);
      return true;
    }
    wrong("expected endraw, found none");
  }

  void inside_tag(bool block) {
    std::string open;  // brackets that are not closed yet
    while (true) {
      if (at_ >= source_.size()) wrong("expected the end of a tag, found the end of the template");
      const size_t end = !open.empty() ? 0 : block ? tag_end("%}", true, true) : tag_end("}}", false, false);
      if (end != 0) {
        push(block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, "");
        return advance(end);
      }
      const size_t space = after_space(at_);
      if (space != at_) {
        advance(space);
      } else if (is_digit(peek())) {
        number();
      } else if (is_name_char(peek())) {
        size_t stop = at_;
        while (stop < source_.size() && is_name_char(source_[stop])) ++stop;
        push(TokenKind::kName, source_.substr(at_, stop - at_));
        advance(stop);
      } else if (peek() == '"' || peek() == '\'') {
        string();
      } else {
        operation(open);
      }
    }
  }

  void operation(std::string& open) {
    constexpr std::array<std::string_view, 28> kOperators = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                             "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                             ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (const std::string_view op : kOperators) {
      if (op.empty() || !looking_at(op)) continue;
      const char c = op[0];
      if (c == '(' || c == '[' || c == '{') {
        open += c == '(' ? ')' : c == '[' ? ']' : '}';
      } else if (c == ')' || c == ']' || c == '}') {
        if (open.empty() || open.back() != c) wrong(fmt::format("unexpected '{}'", c));
        open.pop_back();
      }
      push(TokenKind::kOperator, std::string(op));
      return advance(at_ + op.size());
    }
    wrong(fmt::format("unexpected character '{}'", static_cast<uint8_t>(peek()) >= 0x20 ? peek() : '?'));
  }

  // Digits of a base with single underscores between them, from byte `at`; returns the end.
  size_t digits(size_t at, int base) const {
    const auto good = [&](size_t i) {
      const int d = i < source_.size() ? hex_digit(source_[i]) : -1;
      return d >= 0 && d < base;
    };
    while (good(at) || (at < source_.size() && source_[at] == '_' && good(at + 1))) ++at;
    return at;
  }

  void number() {
    size_t end = digits(at_, 10);
    bool real = false;
    if (!(at_ > 0 && source_[at_ - 1] == '.')) {
      size_t more = end;
      if (more + 1 < source_.size() && source_[more] == '.' && is_digit(source_[more + 1])) {
        more = digits(more + 1, 10);
        real = true;
      }
      if (more < source_.size() && (source_[more] == 'e' || source_[more] == 'E')) {
        size_t power = more + 1;
        if (power < source_.size() && (source_[power] == '+' || source_[power] == '-')) ++power;
        if (power < source_.size() && is_digit(source_[power])) {
          more = digits(power, 10);
          real = true;
        }
      }
      if (real) end = more;
    }
    int base = 10;
    size_t begin = at_;
    if (!real && peek() == '0') {
      const char letter = static_cast<char>(peek(1) | 0x20);
      const int other = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
      const size_t first = at_ + 2 + (peek(2) == '_');
      if (other != 0 && digits(first, other) > first) {
        base = other;
        begin = first;
        end = digits(first, other);
      } else {  // only zeros
        for (end = at_ + 1;
             end < source_.size() &&
             (source_[end] == '0' || (source_[end] == '_' && end + 1 < source_.size() && source_[end + 1] == '0'));)
          ++end;
      }
    }
    std::string text = source_.substr(begin, end - begin);
    text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
    Token token{real ? TokenKind::kFloat : TokenKind::kInteger, line_, text};
    const char* last = text.data() + text.size();
    if (real) {
      const auto result = std::from_chars(text.data(), last, token.real);
      if (result.ec != std::errc()) wrong("expected a number that fits into 64 bits");
    } else if (std::from_chars(text.data(), last, token.integer, base).ec != std::errc()) {
      wrong("expected a whole number that fits into 64 bits");
    }
    push(token.kind, text);
    tokens_.back().integer = token.integer;
    tokens_.back().real = token.real;
    advance(end);
  }

  void string() {
    const char quote = peek();
    std::string out;
    size_t at = at_ + 1;
    while (true) {
      if (at >= source_.size()) wrong("expected the end of a string, found the end of the template");
      const char c = source_[at++];
      if (c == quote) break;
      if (c != '\\') {
        out += c;
      } else if (at >= source_.size()) {
        wrong("expected the end of a string, found the end of the template");
      } else {
        at = escape(at, out);
      }
    }
    push(TokenKind::kString, std::move(out));
    advance(at);
  }

  // One escape of a Python string; `at`: behind the backslash. Returns the byte behind it.
  size_t escape(size_t at, std::string& out) const {
    constexpr std::string_view kPlain = "\\'\"abfnrtv", kMeaning = "\\'\"\a\b\f\n\r\t\v";
    const char c = source_[at++];
    const size_t plain = kPlain.find(c);
    if (plain != std::string_view::npos) {
      out += kMeaning[plain];
      return at;
    }
    if (c == '\n') return at;
    uint32_t value = 0;
    if (c >= '0' && c <= '7') {
      value = static_cast<uint32_t>(c - '0');
      for (int i = 0; i < 2 && at < source_.size() && source_[at] >= '0' && source_[at] <= '7'; ++i) {
        value = 8 * value + static_cast<uint32_t>(source_[at++] - '0');
      }
    } else if (c == 'x' || c == 'u' || c == 'U') {
      for (int i = c == 'x' ? 2 : c == 'u' ? 4 : 8; i > 0; --i) {
        const int digit = at < source_.size() ? hex_digit(source_[at]) : -1;
        if (digit < 0) wrong("expected hexadecimal digits in an escape of a string");
        value = value << 4 | static_cast<uint32_t>(digit);
        ++at;
      }
    } else if (c == 'N') {
      wrong("names of characters (\\N) are not supported");
    } else {
      out += '\\';
      out += c;
      return at;
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) wrong("expected a character in an escape of a string");
    append_utf8(value, out);
    return at;
  }

  std::string source_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  uint32_t line_ = 1;
  bool line_starting_ = true;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace occ::jinja
