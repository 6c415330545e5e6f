// Typed, declared parameters of stages and methods: "name(key=value, ...)". One table per stage gives names, types,
// defaults, ranges and help; parsing, checking and canonical printing follow from it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace occ {

struct ParamSpec {
  enum class Type { kInt, kReal, kChoice };
  std::string_view name;
  Type type = Type::kInt;
  std::string_view default_value;  // as it would be written
  double min = 0, max = 0;         // kInt, kReal: inclusive
  std::string_view choices;        // kChoice: "a|b|c"
  std::string_view help;
};

constexpr ParamSpec int_param(std::string_view name, std::string_view def, double min, double max,
                              std::string_view help) {
  return {name, ParamSpec::Type::kInt, def, min, max, "", help};
}
constexpr ParamSpec real_param(std::string_view name, std::string_view def, double min, double max,
                               std::string_view help) {
  return {name, ParamSpec::Type::kReal, def, min, max, "", help};
}
constexpr ParamSpec choice_param(std::string_view name, std::string_view def, std::string_view choices,
                                 std::string_view help) {
  return {name, ParamSpec::Type::kChoice, def, 0, 0, choices, help};
}

// Values for every parameter of a table. The table (static storage) must outlive it.
class Params {
 public:
  using Given = std::vector<std::pair<std::string, std::string>>;
  Params() = default;
  // All defaults.
  explicit Params(std::span<const ParamSpec> table);
  // `owner` names the stage in usage errors: unknown key, given twice, wrong type, out of range.
  Params(std::span<const ParamSpec> table, const Given& given, std::string_view owner);

  // Asking for a name or a type that the table lacks is a bug.
  int64_t integer(std::string_view name) const;
  double real(std::string_view name) const;
  const std::string& choice(std::string_view name) const;
  bool has(std::string_view name) const;    // the table has such a parameter
  bool given(std::string_view name) const;  // was named when it was made, or set
  void set(std::string_view name, std::string_view value);

  // "" or "(bits=4, group=64)": those that differ from their defaults, in table order, in canonical spelling.
  std::string print() const;
  bool operator==(const Params& o) const { return values_ == o.values_; }

 private:
  size_t index(std::string_view name) const;
  std::span<const ParamSpec> table_;
  std::vector<std::string> values_;
  std::vector<bool> given_;
};

}  // namespace occ
