// Access to members of JSON objects that checks their type. A member of another type is an input error that names the
// file, the member, what was expected and what was found.
#pragma once

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "io/json.h"

namespace occ {

inline constexpr uint64_t kMostJsonInteger = uint64_t{1} << 53;  // up to which all readers agree on whole numbers

// The number, or null, as JSON has it, if it is missing, infinite or not a number.
inline nlohmann::ordered_json finite_or_null(const std::optional<double>& v) {
  return v && std::isfinite(*v) ? nlohmann::ordered_json(*v) : nlohmann::ordered_json();
}

// A JSON value and its place for messages ("model/tokenizer.json: $.model.vocab").
struct JsonField {
  const nlohmann::json* value = nullptr;  // null if there is no such member
  std::string where;

  bool present() const { return value != nullptr && !value->is_null(); }
  JsonField at(const std::string& key) const {
    if (present() && !value->is_object()) wrong("an object");
    const auto it = present() ? value->find(key) : nlohmann::json::const_iterator();
    return {present() && it != value->end() ? &*it : nullptr, fmt::format("{}.{}", where, key)};
  }
  JsonField item(size_t i) const { return {&(*value)[i], fmt::format("{}[{}]", where, i)}; }

  const nlohmann::json& object() const { return checked(present() && value->is_object(), "an object"); }
  const nlohmann::json& array() const { return checked(present() && value->is_array(), "an array"); }
  const std::string& string() const {
    return checked(present() && value->is_string(), "a string").get_ref<const std::string&>();
  }
  std::string string_or(const std::string& otherwise) const { return present() ? string() : otherwise; }
  bool boolean_or(bool otherwise) const {
    return present() ? checked(value->is_boolean(), "true or false").get<bool>() : otherwise;
  }
  // A whole number from 0 to `limit`.
  uint64_t number(uint64_t limit) const {
    const bool good = present() && value->is_number_unsigned() && value->get<uint64_t>() <= limit;
    return checked(good, fmt::format("a whole number from 0 to {}", limit)).get<uint64_t>();
  }
  // Any number; nothing if the member is missing or null.
  std::optional<double> real() const {
    if (!present()) return std::nullopt;
    return checked(value->is_number(), "a number").get<double>();
  }

  [[noreturn]] void wrong(std::string_view expected) const {
    const std::string found =
        value == nullptr ? "none" : printable(value->dump(-1, ' ', true, nlohmann::json::error_handler_t::replace), 60);
    throw_input("{}: expected {}, found {}", where, expected, found);
  }

 private:
  const nlohmann::json& checked(bool good, std::string_view expected) const {
    if (!good) wrong(expected);
    return *value;
  }
};

}  // namespace occ
