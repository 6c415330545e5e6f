#include "io/gguf_metadata.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/error.h"
#include "io/json.h"

namespace occ {
namespace {

constexpr std::array<std::string_view, kGgufTypes> kTypeNames = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                                 "bool", "string", "array", "u64", "i64", "f64"};

// The length in bytes of the well-formed UTF-8 character at the start of `text`, or 0 if there is none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xc2 && lead < 0xe0   ? 2
                        : lead >= 0xe0 && lead < 0xf0 ? 3
                        : lead >= 0xf0 && lead < 0xf5 ? 4
                                                      : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // The second byte also rules out overlong forms, surrogates and values above U+10FFFF.
  if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) >= 0xa0) || (lead == 0xf0 && byte(1) < 0x90) ||
      (lead == 0xf4 && byte(1) >= 0x90)) {
    return 0;
  }
  return length;
}

// ggml has no upper bound for the alignment. This bound keeps the padding small.
constexpr uint32_t kMaxAlignment = uint32_t{1} << 24;

template <typename T>
constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

}  // namespace

void GgufMetadata::set(const std::string& key, GgufValue value) {
  for (GgufEntry& e : entries_) {
    if (e.key == key) {
      e.value = std::move(value);
      return;
    }
  }
  append(key, std::move(value));
}

void GgufMetadata::erase(std::string_view key) {
  std::erase_if(entries_, [&](const GgufEntry& e) { return e.key == key; });
}

void GgufMetadata::check_unique(const std::string& where) const {
  std::vector<std::string_view> keys;
  keys.reserve(entries_.size());
  for (const GgufEntry& e : entries_) keys.push_back(e.key);
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice != keys.end()) throw_input("{}: metadata key '{}': expected once, found twice", where, printable(*twice));
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  for (const GgufEntry& e : entries_) {
    if (e.key == key) return &e.value;
  }
  return nullptr;
}

std::optional<uint64_t> GgufMetadata::uint(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  return std::visit(
      []<typename T>(const T& v) -> std::optional<uint64_t> {
        if constexpr (kIsInteger<T>) {
          if (v >= T{0}) return static_cast<uint64_t>(v);
        }
        return std::nullopt;
      },
      *value);
}

std::optional<double> GgufMetadata::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  return std::visit(
      []<typename T>(const T& v) -> std::optional<double> {
        if constexpr (kIsInteger<T> || std::is_floating_point_v<T>) return static_cast<double>(v);
        return std::nullopt;
      },
      *value);
}

std::optional<bool> GgufMetadata::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  const bool* v = value == nullptr ? nullptr : std::get_if<bool>(value);
  return v == nullptr ? std::nullopt : std::optional<bool>(*v);
}

const std::string* GgufMetadata::string(std::string_view key) const {
  const GgufValue* value = find(key);
  return value == nullptr ? nullptr : std::get_if<std::string>(value);
}

const GgufArray* GgufMetadata::array(std::string_view key) const {
  const GgufValue* value = find(key);
  return value == nullptr ? nullptr : std::get_if<GgufArray>(value);
}

uint32_t gguf_alignment(const GgufMetadata& metadata, const std::string& where) {
  const GgufValue* value = metadata.find("general.alignment");
  if (value == nullptr) return 32;
  const uint32_t* alignment = std::get_if<uint32_t>(value);
  if (alignment == nullptr) {
    throw_input("{}: metadata key 'general.alignment': expected type u32, found {}", where,
                gguf_value_type_name(static_cast<uint32_t>(value->index())));
  }
  if (!std::has_single_bit(*alignment) || *alignment > kMaxAlignment) {
    throw_input("{}: metadata key 'general.alignment': expected a power of two up to {}, found {}", where,
                kMaxAlignment, *alignment);
  }
  return *alignment;
}

std::string_view gguf_value_type_name(uint32_t type) { return type < kGgufTypes ? kTypeNames[type] : "unknown"; }

std::optional<uint32_t> parse_gguf_value_type(std::string_view name) {
  const auto* found = std::find(kTypeNames.begin(), kTypeNames.end(), name);
  if (found == kTypeNames.end()) return std::nullopt;
  return static_cast<uint32_t>(found - kTypeNames.begin());
}

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace occ
