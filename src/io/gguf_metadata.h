// The metadata of a GGUF file: keys in the order of the file, and values with exactly the types that they have there.
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

// The index of the alternative is the number of the type in the file (enum gguf_metadata_value_type of the GGUF
// specification, docs/gguf.md in the ggml repository).
using GgufValue = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool, std::string,
                               GgufArray, uint64_t, int64_t, double>;
inline constexpr uint32_t kGgufString = 8;
inline constexpr uint32_t kGgufArray = 9;
inline constexpr uint32_t kGgufTypes = std::variant_size_v<GgufValue>;
// Arrays may hold arrays. Arrays that are nested more deeply than this are refused.
inline constexpr int kGgufMaxNesting = 4;

// All items of an array have one type, whose number is the index of the alternative. In an array of arrays, the inner
// arrays may have different item types.
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

// Calls f(std::type_identity<T>{}), where T is the C++ type for the type number `type`, which is < kGgufTypes.
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
  // Appends an entry. The caller must make sure that the key is not there yet (see check_unique).
  void append(std::string key, GgufValue value) { entries_.push_back({std::move(key), std::move(value)}); }
  // Replaces the value of `key` and keeps its position, or appends the entry if there is none.
  void set(const std::string& key, GgufValue value);
  void erase(std::string_view key);
  // Throws an input error that names `where` and the key if a key occurs twice.
  void check_unique(const std::string& where) const;

  // These functions return null or nothing if the key is missing or if its value has another kind. `uint` accepts every
  // integer type if the value is not negative. `number` accepts integers and floats.
  const GgufValue* find(std::string_view key) const;
  std::optional<uint64_t> uint(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  const std::string* string(std::string_view key) const;
  const GgufArray* array(std::string_view key) const;
  // The items of an array whose item type is T, for example the strings of the tokens or the floats of their scores.
  // Null if the key is missing or has another type.
  template <typename T>
  const std::vector<T>* items(std::string_view key) const {
    const GgufArray* a = array(key);
    return a == nullptr ? nullptr : std::get_if<std::vector<T>>(&a->items);
  }

 private:
  std::vector<GgufEntry> entries_;
};

// The value of general.alignment in bytes, or 32 if the key is missing. Input error unless it is a u32 and a power of
// two that is at most 2^24.
uint32_t gguf_alignment(const GgufMetadata& metadata, const std::string& where);

// The name of a type number: "u8" "i8" "u16" "i16" "u32" "i32" "f32" "bool" "string" "array" "u64" "i64" "f64".
std::string_view gguf_value_type_name(uint32_t type);
std::optional<uint32_t> parse_gguf_value_type(std::string_view name);

// Whether the text is well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_valid_utf8(std::string_view text);

}  // namespace occ
