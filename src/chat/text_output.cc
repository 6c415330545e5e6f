// Values as text: json.dumps, text % values and text.format().
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "chat/builtins.h"
#include "chat/python_text.h"
#include "tokenizer/unicode.h"

namespace occ::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Context& context, const JsonOptions& options) : c_(context), o_(options) {}

  void write(const Value& v) {
    c_.meter.step();
    const size_t before = out.size();
    switch (v.kind) {
      case Kind::kNone:
        out += "null";
        break;
      case Kind::kBool:
        out += v.boolean ? "true" : "false";
        break;
      case Kind::kInt:
        out += std::to_string(v.integer);
        break;
      case Kind::kFloat:
        out += number(v.real);
        break;
      case Kind::kString:
        quote(v.utf8());
        break;
      case Kind::kList:
      case Kind::kTuple: {
        const auto& items = v.sequence().items;
        open('[', items.empty());
        for (size_t i = 0; i < items.size(); ++i) {
          next(i);
          write(items[i]);
        }
        close(']', items.empty());
        break;
      }
      case Kind::kDict:
        object(v.dict());
        break;
      default:
        fail("Object of type ", std::string(type_name(v)), " is not JSON serializable");
    }
    if (!v.is_sequence() && !v.is(Kind::kDict)) c_.meter.text(out.size() - before);
  }

  std::string out;

 private:
  static std::string number(double d) {
    if (std::isnan(d)) return "NaN";
    return std::isinf(d) ? d < 0 ? "-Infinity" : "Infinity" : float_repr(d);
  }
  std::string key_text(const Value& key) {
    if (key.is(Kind::kString)) return key.utf8();
    if (key.is(Kind::kNone)) return "null";
    if (key.is(Kind::kBool)) return key.boolean ? "true" : "false";
    if (key.is(Kind::kFloat)) return number(key.real);
    if (key.is(Kind::kInt)) return std::to_string(key.integer);
    fail("keys must be str, int, float, bool or None, not ", std::string(type_name(key)));
  }
  void object(const Dict& dict) {
    std::vector<size_t> order(dict.items.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    if (o_.sort_keys) {
      std::stable_sort(order.begin(), order.end(),
                       [&](size_t a, size_t b) { return less(c_.meter, dict.items[a].first, dict.items[b].first); });
    }
    open('{', order.empty());
    for (size_t i = 0; i < order.size(); ++i) {
      next(i);
      const std::string key = key_text(dict.items[order[i]].first);
      c_.meter.text(key.size() + 8);
      quote(key);
      out += o_.key_separator;
      write(dict.items[order[i]].second);
    }
    close('}', order.empty());
  }
  void line() {
    if (!o_.lines) return;
    c_.meter.text(1 + depth_ * o_.indent.size());
    out += '\n';
    for (size_t i = 0; i < depth_; ++i) out += o_.indent;
  }
  void open(char bracket, bool empty) {
    out += bracket;
    ++depth_;
    if (!empty) line();
  }
  void next(size_t i) {
    if (i == 0) return;
    c_.meter.text(o_.item_separator.size() + 2);
    out += o_.item_separator;
    line();
  }
  void close(char bracket, bool empty) {
    --depth_;
    if (!empty) line();
    out += bracket;
  }
  void quote(const std::string& text) {
    constexpr std::string_view kShort = "\"\\\b\f\n\r\t", kLetters = "\"\\bfnrt";
    out += '"';
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      const uint32_t c = next_char(text, at);
      const size_t known = c < 0x80 ? kShort.find(static_cast<char>(c)) : std::string_view::npos;
      if (known != std::string_view::npos) {
        out += '\\';
        out += kLetters[known];
      } else if (c < 0x20 || (o_.ensure_ascii && c >= 0x7F && c < 0x10000)) {
        out += fmt::format("\\u{:04x}", c);
      } else if (o_.ensure_ascii && c >= 0x10000) {
        out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((c - 0x10000) >> 10), 0xDC00 + ((c - 0x10000) & 0x3FF));
      } else {
        out.append(text, begin, at - begin);
      }
    }
    out += '"';
  }

  Context& c_;
  const JsonOptions& o_;
  size_t depth_ = 0;
};

// One conversion of text % values.
struct Conversion {
  bool left = false, zero = false, plus = false, space = false, other = false;
  size_t width = 0;
  int precision = -1;
};

std::string converted(Context& c, char type, const Conversion& f, const Value& v) {
  std::string digits;
  std::string_view sign;
  bool numeric = true;
  if (type == 's' || type == 'r' || type == 'a') {
    digits = type == 's' ? to_str(c.meter, v) : to_repr(c.meter, v);
    if (f.precision >= 0) digits = digits.substr(0, byte_of(digits, static_cast<size_t>(f.precision)));
    numeric = false;
  } else if (type == 'c') {
    if (v.is(Kind::kInt)) fail("%c: expected a character");
    digits = text_argument(v, "%c");
    if (code_points(digits) != 1) fail("%c requires an int or a unicode character");
    numeric = false;
  } else if (!v.is_number()) {
    fail("%", std::string(1, type), " format: a real number is required, not ", std::string(type_name(v)));
  } else if (type == 'd' || type == 'i' || type == 'u' || type == 'x' || type == 'X' || type == 'o') {
    if (v.is(Kind::kFloat) && (type == 'x' || type == 'X' || type == 'o' || !(std::fabs(v.real) < 9e18))) {
      fail("%", std::string(1, type), " format: an integer is required, not float");
    }
    const int64_t n = v.is(Kind::kFloat) ? static_cast<int64_t>(v.real) : v.as_int();
    const uint64_t size = n < 0 ? 0 - static_cast<uint64_t>(n) : static_cast<uint64_t>(n);
    sign = n < 0 ? "-" : f.plus ? "+" : f.space ? " " : "";
    digits = type == 'x'   ? fmt::format("{:x}", size)
             : type == 'X' ? fmt::format("{:X}", size)
             : type == 'o' ? fmt::format("{:o}", size)
                           : fmt::format("{}", size);
    if (f.other && type != 'd') digits.insert(0, type == 'o' ? "0o" : type == 'x' ? "0x" : "0X");
    if (f.precision > static_cast<int>(digits.size())) {
      digits.insert(0, static_cast<size_t>(f.precision) - digits.size(), '0');
    }
  } else if (std::string_view("eEfFgG").find(type) != std::string_view::npos) {
    const double d = v.as_float();
    sign = std::signbit(d) ? "-" : f.plus ? "+" : f.space ? " " : "";
    char text[512];
    const char format[] = {'%', '.', '*', type, '\0'};
    std::snprintf(text, sizeof text, format, f.precision < 0 ? 6 : std::min(f.precision, 100), std::fabs(d));
    digits = text;
  } else {
    fail("unsupported format character '", std::string(1, static_cast<uint8_t>(type) >= 0x20 ? type : '?'), "'");
  }
  const size_t length = code_points(digits) + sign.size();
  if (f.width <= length) return fmt::format("{}{}", sign, digits);
  const size_t pad = f.width - length;
  if (f.left) return fmt::format("{}{}{:{}}", sign, digits, "", pad);
  if (f.zero && numeric) return fmt::format("{}{:0>{}}{}", sign, "", pad, digits);
  return fmt::format("{:{}}{}{}", "", pad, sign, digits);
}

}  // namespace

std::string to_json(Context& context, const Value& value, const JsonOptions& options) {
  JsonWriter writer(context, options);
  writer.write(value);
  return std::move(writer.out);
}

std::string percent_format(Context& context, const std::string& text, const Value& values) {
  const bool tuple = values.is(Kind::kTuple);
  std::string out;
  size_t used = 0;
  bool named = false;
  const auto next = [&]() -> Value {
    const size_t count = tuple ? values.sequence().items.size() : 1;
    if (used >= count) fail("not enough arguments for format string");
    ++used;
    return tuple ? values.sequence().items[used - 1] : values;
  };
  context.meter.scan(text.size());
  for (size_t at = 0; at < text.size();) {
    if (text[at] != '%') {
      out += text[at++];
      continue;
    }
    const auto peek = [&] {
      if (at >= text.size()) fail("incomplete format");
      return text[at];
    };
    const auto number = [&](size_t& n) {
      if (peek() == '*') {
        n = static_cast<size_t>(std::clamp<int64_t>(int_argument(next(), "*"), 0, 10'000));
        ++at;
      }
      while (peek() >= '0' && peek() <= '9')
        n = std::min<size_t>(10'000, 10 * n + static_cast<size_t>(text[at++] - '0'));
    };
    ++at;
    Conversion f;
    Value value = Value::missing();
    if (peek() == '(') {
      const size_t end = text.find(')', at);
      if (end == std::string::npos) fail("incomplete format key");
      if (!values.is(Kind::kDict)) fail("format requires a mapping");
      const Value* found = values.dict().find(text.substr(at + 1, end - at - 1));
      if (found == nullptr) fail("format: no value for a key");
      value = *found;
      named = true;
      at = end + 1;
    }
    for (;; ++at) {
      const char flag = peek();
      if (flag == '-')
        f.left = true;
      else if (flag == '0')
        f.zero = true;
      else if (flag == '+')
        f.plus = true;
      else if (flag == ' ')
        f.space = true;
      else if (flag == '#')
        f.other = true;
      else
        break;
    }
    number(f.width);
    if (peek() == '.') {
      ++at;
      size_t precision = 0;
      number(precision);
      f.precision = static_cast<int>(precision);
    }
    while (peek() == 'l' || peek() == 'h' || peek() == 'L') ++at;
    const char type = text[at++];
    if (type == '%') {
      out += '%';
      continue;
    }
    const std::string part = converted(context, type, f, value.is(Kind::kMissing) ? next() : value);
    context.meter.text(part.size());
    out += part;
  }
  if (tuple && used < values.sequence().items.size()) fail("not all arguments converted during string formatting");
  if (!tuple && !named && used == 0 && !values.is(Kind::kDict) && !values.is(Kind::kList)) {
    fail("not all arguments converted during string formatting");
  }
  return out;
}

std::string brace_format(Context& context, const std::string& text, const Call& call) {
  std::string out;
  size_t automatic = 0;
  context.meter.scan(text.size());
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const bool doubled = at + 1 < text.size() && text[at + 1] == c;
    if ((c == '{' || c == '}') && doubled) {
      out += c;
      ++at;
    } else if (c == '}') {
      fail("Single '}' encountered in format string");
    } else if (c != '{') {
      out += c;
    } else {
      const size_t end = text.find('}', at);
      if (end == std::string::npos) fail("expected '}' before end of string");
      const std::string field = text.substr(at + 1, end - at - 1);
      if (field.find_first_of(":!.[{") != std::string::npos) {
        fail("format: expected fields without attributes and format specifications");
      }
      const Value* value = nullptr;
      if (field.empty() || is_all(field, "isdigit")) {
        const size_t i = field.empty() ? automatic++ : field.size() > 6 ? size_t{1} << 20 : std::stoul(field);
        if (i < call.args.size()) value = &call.args[i];
      } else {
        for (const auto& [name, named] : call.named) {
          if (name == field) value = &named;
        }
      }
      if (value == nullptr) fail("format: no argument for a field");
      const std::string part = to_str(context.meter, *value);
      context.meter.text(part.size());
      out += part;
      at = end;
    }
  }
  return out;
}

}  // namespace occ::jinja
