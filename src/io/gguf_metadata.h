// Metadata of a GGUF file: keys in file order with values of exactly the types of the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

namespace occ {

struct GgufArray;

// The index of the alternative is the type's number in the file.
using GgufValue = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool, std::string,
                               GgufArray, uint64_t, int64_t, double>;
inline constexpr uint32_t kGgufString = 8;
inline constexpr uint32_t kGgufArray = 9;
inline constexpr uint32_t kGgufTypes = std::variant_size_v<GgufValue>;
// Arrays may hold arrays; deeper nesting than this is refused.
inline constexpr int kGgufMaxNesting = 4;

// All items have one type: the index of the alternative is its number. Items of an array of arrays may differ in type.
struct GgufArray {
  std::variant<std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>, std::vector<int16_t>,
               std::vector<uint32_t>, std::vector<int32_t>, std::vector<float>, std::vector<bool>,
               std::vector<std::string>, std::vector<GgufArray>, std::vector<uint64_t>, std::vector<int64_t>,
               std::vector<double>>
      items;
  size_t size() const {
    return std::visit([](const auto& v) { return v.size(); }, items);
  }
};

struct GgufEntry {
  std::string key;
  GgufValue value;
};

// Calls f(std::type_identity<T>{}) with the C++ type of type number `type` < kGgufTypes.
template <typename F>
decltype(auto) with_gguf_type(uint32_t type, F&& f) {
  switch (type) {
    case 0:
      return f(std::type_identity<uint8_t>{});
    case 1:
      return f(std::type_identity<int8_t>{});
    case 2:
      return f(std::type_identity<uint16_t>{});
    case 3:
      return f(std::type_identity<int16_t>{});
    case 4:
      return f(std::type_identity<uint32_t>{});
    case 5:
      return f(std::type_identity<int32_t>{});
    case 6:
      return f(std::type_identity<float>{});
    case 7:
      return f(std::type_identity<bool>{});
    case 8:
      return f(std::type_identity<std::string>{});
    case 9:
      return f(std::type_identity<GgufArray>{});
    case 10:
      return f(std::type_identity<uint64_t>{});
    case 11:
      return f(std::type_identity<int64_t>{});
    default:
      return f(std::type_identity<double>{});
  }
}

class GgufMetadata {
 public:
  const std::vector<GgufEntry>& entries() const { return entries_; }
  // The caller makes sure that the key is new (see check_unique).
  void append(std::string key, GgufValue value) { entries_.push_back({std::move(key), std::move(value)}); }
  // Replaces the value of `key` in its place, or appends it.
  void set(const std::string& key, GgufValue value);
  void erase(std::string_view key);
  // Input error that names `where` and the key if one stands twice.
  void check_unique(const std::string& where) const;

  // Null or empty when the key is missing or its value has another kind. `uint` takes every integer type with a value
  // that is not negative; `number` takes integers and floats.
  const GgufValue* find(std::string_view key) const;
  std::optional<uint64_t> uint(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  const std::string* string(std::string_view key) const;
  const GgufArray* array(std::string_view key) const;
  // Items of an array of strings, or of 32-bit integers or floats (e.g. tokens, token types and scores).
  template <typename T>
  const std::vector<T>* items(std::string_view key) const {
    const GgufArray* a = array(key);
    return a == nullptr ? nullptr : std::get_if<std::vector<T>>(&a->items);
  }

 private:
  std::vector<GgufEntry> entries_;
};

// The value of general.alignment, or 32 without it; input error unless it is a u32 and a power of two up to 2^24.
uint32_t gguf_alignment(const GgufMetadata& metadata, const std::string& where);

// "u8" "i8" "u16" "i16" "u32" "i32" "f32" "bool" "string" "array" "u64" "i64" "f64".
std::string_view gguf_value_type_name(uint32_t type);
std::optional<uint32_t> parse_gguf_value_type(std::string_view name);

// Well-formed UTF-8: no overlong forms, no surrogates, at most U+10FFFF.
bool is_valid_utf8(std::string_view text);

}  // namespace occ
