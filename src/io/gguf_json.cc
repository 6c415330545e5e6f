#include "io/gguf_json.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/json.h"

namespace occ {
namespace {

using nlohmann::json;

template <typename T>
using BitsOf = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;

void write_text(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<uint8_t>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

void write(std::string& out, const std::string& text) {
  if (is_valid_utf8(text)) return write_text(out, text);
  constexpr char kDigits[] = "0123456789abcdef";
  out += "{\"hex\": \"";
  for (const char c : text) {
    out += kDigits[static_cast<uint8_t>(c) >> 4];
    out += kDigits[static_cast<uint8_t>(c) & 15];
  }
  out += "\"}";
}

void write(std::string& out, bool value) { out += value ? "true" : "false"; }

template <typename T>
requires std::is_integral_v<T>
void write(std::string& out, T value) {
  const fmt::format_int digits(value);
  out.append(digits.data(), digits.size());
}

template <typename T>
requires std::is_floating_point_v<T>
void write(std::string& out, T value) {
  if (!std::isfinite(value)) {
    fmt::format_to(std::back_inserter(out), "{{\"bits\": \"{:0{}x}\"}}", std::bit_cast<BitsOf<T>>(value),
                   sizeof(T) * 2);
    return;
  }
  const size_t start = out.size();
  fmt::format_to(std::back_inserter(out), "{}", static_cast<double>(value));
  // Without a point "-0" would read back as the integer 0.
  if (out.find_first_of(".e", start) == std::string::npos) out += ".0";
}

void write_items(std::string& out, const GgufArray& array);

void write(std::string& out, const GgufArray& array) {
  out += '{';
  write_items(out, array);
  out += '}';
}

void write_items(std::string& out, const GgufArray& array) {
  const std::string_view items = gguf_value_type_name(static_cast<uint32_t>(array.items.index()));
  fmt::format_to(std::back_inserter(out), "\"items\": \"{}\", \"value\": [", items);
  std::visit(
      [&]<typename T>(const std::vector<T>& values) {
        for (size_t i = 0; i < values.size(); ++i) {
          if (i != 0) out += ", ";
          write(out, static_cast<const T&>(values[i]));
        }
      },
      array.items);
  out += ']';
}

// Reads the JSON that the functions above write. `where` names the file and the key in errors.
class Parser {
 public:
  explicit Parser(std::string where) : where_(std::move(where)) {}

  const json& member(const json& object, const char* name) const {
    if (!object.is_object()) fail("a JSON object", object);
    const auto found = object.find(name);
    if (found == object.end()) throw_input("{}: expected a member \"{}\", found none", where_, name);
    return *found;
  }
  void expect_members(const json& object, size_t count) const {
    if (object.size() != count) throw_input("{}: expected {} members, found {}", where_, count, object.size());
  }
  uint32_t type(const json& object, const char* name) const {
    const json& text = member(object, name);
    if (!text.is_string()) fail("the name of a type", text);
    const std::optional<uint32_t> found = parse_gguf_value_type(text.get_ref<const std::string&>());
    if (!found) fail("the name of a type", text);
    return *found;
  }
  std::string key(const json& entry) const {
    const json& name = member(entry, "key");
    if (!name.is_string() || name.get_ref<const std::string&>().empty()) fail("the name of a key", name);
    return name.get<std::string>();
  }
  GgufValue entry_value(const json& entry) const;

 private:
  [[noreturn]] void fail(std::string_view expected, const json& found) const {
    std::string text = found.is_primitive() ? found.dump() : found.type_name();
    throw_input("{}: expected {}, found {}", where_, expected, printable(text, 60));
  }
  template <typename T>
  T value(const json& v, int depth) const {
    if constexpr (std::is_same_v<T, GgufArray>) {
      expect_members(v, 2);
      return array(v, depth + 1);
    } else if constexpr (std::is_same_v<T, std::string>) {
      return text(v);
    } else if constexpr (std::is_same_v<T, bool>) {
      if (!v.is_boolean()) fail("true or false", v);
      return v.get<bool>();
    } else if constexpr (std::is_integral_v<T>) {
      const bool fits = v.is_number_unsigned()
                            ? v.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<T>::max())
                            : v.is_number_integer() && std::is_signed_v<T> &&
                                  v.get<int64_t>() >= static_cast<int64_t>(std::numeric_limits<T>::min());
      if (!fits) fail("an integer in the range of its type", v);
      return v.get<T>();
    } else {
      if (v.is_object()) return from_bits<T>(v);
      if (!v.is_number()) fail("a number", v);
      const auto exact = v.get<double>();
      // Above the type's largest value the conversion would not be defined.
      if (!(std::abs(exact) <= std::numeric_limits<T>::max()) || static_cast<double>(static_cast<T>(exact)) != exact) {
        fail("a number that its type holds exactly", v);
      }
      return static_cast<T>(exact);
    }
  }
  template <typename T>
  T from_bits(const json& v) const {
    expect_members(v, 1);
    const json& digits = member(v, "bits");
    BitsOf<T> bits = 0;
    if (!digits.is_string()) fail("hexadecimal digits", digits);
    const auto& s = digits.get_ref<const std::string&>();
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), bits, 16);
    if (s.size() != sizeof(T) * 2 || error != std::errc() || end != s.data() + s.size())
      fail("hexadecimal digits", digits);
    return std::bit_cast<T>(bits);
  }
  std::string text(const json& v) const {
    if (v.is_string()) return v.get<std::string>();
    expect_members(v, 1);
    const json& digits = member(v, "hex");
    if (!digits.is_string()) fail("hexadecimal digits", digits);
    const auto& s = digits.get_ref<const std::string&>();
    std::string out(s.size() / 2, '\0');
    for (size_t i = 0; i < out.size(); ++i) {
      uint8_t byte = 0;
      const auto [end, error] = std::from_chars(s.data() + 2 * i, s.data() + 2 * i + 2, byte, 16);
      if (error != std::errc() || end != s.data() + 2 * i + 2) fail("hexadecimal digits", digits);
      out[i] = static_cast<char>(byte);
    }
    if (s.size() % 2 != 0) fail("an even number of hexadecimal digits", digits);
    return out;
  }
  GgufArray array(const json& object, int depth) const {
    if (depth > kGgufMaxNesting) {
      throw_input("{}: expected arrays nested at most {} deep, found more", where_, kGgufMaxNesting);
    }
    const uint32_t t = type(object, "items");
    const json& values = member(object, "value");
    if (!values.is_array()) fail("an array", values);
    return with_gguf_type(t, [&]<typename T>(std::type_identity<T>) -> GgufArray {
      std::vector<T> items;
      items.reserve(values.size());
      for (const json& v : values) items.push_back(value<T>(v, depth));
      return {std::move(items)};
    });
  }

  std::string where_;
};

// This function is defined outside the class because clang 14 does not instantiate value<T> for a lambda that stands in
// the class before the definition of value<T>.
GgufValue Parser::entry_value(const json& entry) const {
  const uint32_t t = type(entry, "type");
  if (t == kGgufArray) {
    expect_members(entry, 4);
    return array(entry, 1);
  }
  expect_members(entry, 3);
  const json& v = member(entry, "value");
  return with_gguf_type(t, [&]<typename T>(std::type_identity<T>) -> GgufValue { return value<T>(v, 1); });
}

}  // namespace

std::string gguf_metadata_json(const GgufMetadata& metadata) {
  std::string out = "{\"metadata\": [";
  const char* separator = "\n";
  for (const GgufEntry& e : metadata.entries()) {
    out += separator;
    separator = ",\n";
    out += "{\"key\": ";
    write_text(out, e.key);  // the reader takes UTF-8 only
    fmt::format_to(std::back_inserter(out), ", \"type\": \"{}\", ",
                   gguf_value_type_name(static_cast<uint32_t>(e.value.index())));
    std::visit(
        [&]<typename T>(const T& value) {
          if constexpr (std::is_same_v<T, GgufArray>) {
            write_items(out, value);
          } else {
            out += "\"value\": ";
            write(out, value);
          }
        },
        e.value);
    out += '}';
  }
  out += "]}\n";
  return out;
}

GgufMetadata parse_gguf_metadata_json(std::string_view text, const std::string& what) {
  const json document = parse_json(text, what);
  const Parser top(what);
  const json& entries = top.member(document, "metadata");
  top.expect_members(document, 1);
  if (!entries.is_array()) throw_input("{}: expected an array \"metadata\", found {}", what, entries.type_name());
  GgufMetadata metadata;
  for (const json& entry : entries) {
    std::string key = top.key(entry);
    const Parser parser(fmt::format("{}: metadata key '{}'", what, printable(key)));
    GgufValue value = parser.entry_value(entry);
    metadata.append(std::move(key), std::move(value));
  }
  metadata.check_unique(what);
  return metadata;
}

}  // namespace occ
