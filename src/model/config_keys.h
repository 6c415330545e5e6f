// Reads typed values of a model's configuration, in the same way for config.json and GGUF metadata. Every value is
// checked, and every error names the file, the key, what was expected and what was found.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/gguf_metadata.h"

namespace occ {

class ConfigKeys {
 public:
  // Larger sizes are refused, so that a product of two sizes never overflows.
  static constexpr size_t kMaxSize = size_t{1} << 28;

  // `values` must be a JSON object. `where` names it in errors. `prefix` is put before every key that is looked up.
  ConfigKeys(nlohmann::json values, std::string where, std::string prefix = "");

  bool has(const std::string& key) const;  // the key exists and its value is not null
  // The key does not exist.
  bool absent(const std::string& key) const { return !values_.contains(prefix_ + key); }
  size_t size(const std::string& key) const;  // an integer from 1 to kMaxSize
  size_t size_or(const std::string& key, size_t fallback) const { return has(key) ? size(key) : fallback; }
  size_t count(const std::string& key) const;  // an integer from 0 to kMaxSize
  float number(const std::string& key, float least, float most) const;
  float number_or(const std::string& key, float fallback, float least, float most) const {
    return has(key) ? number(key, least, most) : fallback;
  }
  bool flag_or(const std::string& key, bool fallback) const;
  std::string text(const std::string& key) const;
  std::string text_or(const std::string& key, const std::string& fallback) const {
    return has(key) ? text(key) : fallback;
  }
  std::vector<float> numbers(const std::string& key, size_t count) const;  // exactly `count` positive numbers
  std::vector<std::string> texts(const std::string& key) const;
  std::vector<bool> flags(const std::string& key) const;  // an array of true and false, or of 1 and 0
  bool is_array(const std::string& key) const { return has(key) && get(key, "").is_array(); }
  bool is_object(const std::string& key) const { return has(key) && get(key, "").is_object(); }
  ConfigKeys object(const std::string& key) const;
  // Adds the keys of a JSON object that are missing here.
  void add_defaults(const char* text);
  void set_flag(const std::string& key, bool value) { values_[prefix_ + key] = value; }

  // Throws the input error "where: key 'k': expected ..., found ...".
  [[noreturn]] void fail(const std::string& key, const std::string& expected) const;
  const std::string& where() const { return where_; }

 private:
  const nlohmann::json& get(const std::string& key, const char* expected) const;

  nlohmann::json values_;
  std::string where_;
  std::string prefix_;
};

// The metadata whose keys begin with `prefix`; they are looked up without it. Arrays of anything but whole numbers and
// booleans become empty ones, because no architecture reads a key with such a value.
ConfigKeys gguf_config_keys(const GgufMetadata& metadata, const std::string& where, const std::string& prefix);

}  // namespace occ
