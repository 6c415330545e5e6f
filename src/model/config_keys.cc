#include "model/config_keys.h"

#include <limits>

#include "base/error.h"
#include "io/json.h"

namespace occ {

using nlohmann::json;

ConfigKeys::ConfigKeys(json values, std::string where, std::string prefix)
    : values_(std::move(values)), where_(std::move(where)), prefix_(std::move(prefix)) {
  if (!values_.is_object()) throw_input("{}: expected an object, found {}", where_, values_.type_name());
}

bool ConfigKeys::has(const std::string& key) const {
  const auto at = values_.find(prefix_ + key);
  return at != values_.end() && !at->is_null();
}

void ConfigKeys::fail(const std::string& key, const std::string& expected) const {
  const auto at = values_.find(prefix_ + key);
  throw_input("{}: key '{}': expected {}, found {}", where_, prefix_ + key, expected,
              at == values_.end() ? "nothing" : printable(at->dump(), 60));
}

const json& ConfigKeys::get(const std::string& key, const char* expected) const {
  const auto at = values_.find(prefix_ + key);
  if (at == values_.end()) fail(key, expected);
  return *at;
}

size_t ConfigKeys::count(const std::string& key) const {
  const json& value = get(key, "an integer");
  if (!value.is_number_integer() || (!value.is_number_unsigned() && value.get<int64_t>() < 0) ||
      value.get<uint64_t>() > kMaxSize) {
    fail(key, fmt::format("an integer from 0 to {}", kMaxSize));
  }
  return value.get<uint64_t>();
}

size_t ConfigKeys::size(const std::string& key) const {
  if (get(key, "a positive integer").is_number_integer() && values_[prefix_ + key] == 0) {
    fail(key, fmt::format("an integer from 1 to {}", kMaxSize));
  }
  return count(key);
}

float ConfigKeys::number(const std::string& key, float least, float most) const {
  const json& value = get(key, "a number");
  const double number = value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
  if (!(number >= static_cast<double>(least) && number <= static_cast<double>(most))) {
    fail(key, fmt::format("a number from {} to {}", least, most));
  }
  return static_cast<float>(number);
}

bool ConfigKeys::flag_or(const std::string& key, bool fallback) const {
  if (!has(key)) return fallback;
  const json& value = get(key, "true or false");
  if (!value.is_boolean()) fail(key, "true or false");
  return value.get<bool>();
}

std::string ConfigKeys::text(const std::string& key) const {
  const json& value = get(key, "a string");
  if (!value.is_string()) fail(key, "a string");
  return value.get<std::string>();
}

std::vector<float> ConfigKeys::numbers(const std::string& key, size_t count) const {
  const json& value = get(key, "an array");
  const std::string expected = fmt::format("an array of {} positive numbers", count);
  if (!value.is_array() || value.size() != count) fail(key, expected);
  std::vector<float> out;
  for (const json& item : value) {
    const double number = item.is_number() ? item.get<double>() : 0;
    if (!(number >= 1e-9 && number <= 1e9)) fail(key, expected);
    out.push_back(static_cast<float>(number));
  }
  return out;
}

std::vector<std::string> ConfigKeys::texts(const std::string& key) const {
  const json& value = get(key, "an array of strings");
  std::vector<std::string> out;
  for (const json& item : value.is_array() ? value : json::array({0})) {
    if (!item.is_string()) fail(key, "an array of strings");
    out.push_back(item.get<std::string>());
  }
  return out;
}

std::vector<bool> ConfigKeys::flags(const std::string& key) const {
  const json& value = get(key, "an array of booleans");
  std::vector<bool> out;
  for (const json& item : value.is_array() ? value : json::array({"x"})) {
    if (!item.is_boolean() && item != 0 && item != 1) fail(key, "an array of booleans");
    out.push_back(item.is_boolean() ? item.get<bool>() : item == 1);
  }
  return out;
}

void ConfigKeys::add_defaults(const char* text) {
  const json defaults = json::parse(text);
  for (const auto& [key, value] : defaults.items()) {
    if (!values_.contains(prefix_ + key)) values_[prefix_ + key] = value;
  }
}

ConfigKeys ConfigKeys::object(const std::string& key) const {
  const json& value = get(key, "an object");
  if (!value.is_object()) fail(key, "an object");
  return ConfigKeys(value, where_ + ": " + prefix_ + key);
}

ConfigKeys gguf_config_keys(const GgufMetadata& metadata, const std::string& where, const std::string& prefix) {
  json values = json::object();
  for (const GgufEntry& entry : metadata.entries()) {
    if (entry.key.rfind(prefix, 0) != 0) continue;
    json& value = values[entry.key];
    std::visit(
        [&](const auto& v) {
          using T = std::decay_t<decltype(v)>;
          if constexpr (std::is_same_v<T, GgufArray>) {
            value = json::array();
            std::visit(
                [&](const auto& items) {
                  using Item = typename std::decay_t<decltype(items)>::value_type;
                  if constexpr (std::is_integral_v<Item>) {
                    for (const Item item : items) value.push_back(item);
                  }
                },
                v.items);
          } else if constexpr (std::is_same_v<T, std::string>) {
            value = printable(v);
          } else {
            value = v;
          }
        },
        entry.value);
  }
  return ConfigKeys(std::move(values), where, prefix);
}

}  // namespace occ
