// Access to members of JSON objects that checks their type. A member of another type is an input error that names the
// file, the member, what was expected and what was found.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "io/json.h"

namespace occ {

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
