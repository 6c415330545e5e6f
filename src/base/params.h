// Parameters of stages and methods, written as "name(key=value, ...)". Each stage declares a table with the names,
// types, defaults, ranges and help texts of its parameters. The functions here use the table to parse, check and print
// the values.
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
  std::string_view default_value;  // as text, as a user would write it
  double min = 0, max = 0;         // for kInt and kReal: the smallest and the largest allowed value
  std::string_view choices;        // for kChoice: the allowed words, "a|b|c"
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

// The values of all parameters of a table. The table must outlive the object, so it is usually static.
class Params {
 public:
  using Given = std::vector<std::pair<std::string, std::string>>;
  Params() = default;
  // Sets all parameters to their defaults.
  explicit Params(std::span<const ParamSpec> table);
  // Sets the given parameters and leaves the others at their defaults. Throws a usage error that names `owner` (the
  // stage) for an unknown key, a key that is given twice, and a value of the wrong type or out of range.
  Params(std::span<const ParamSpec> table, const Given& given, std::string_view owner);

  // The value of a parameter. The table must have a parameter of this name and type; otherwise the program aborts.
  int64_t integer(std::string_view name) const;
  double real(std::string_view name) const;
  const std::string& choice(std::string_view name) const;
  bool has(std::string_view name) const;    // whether the table has a parameter of this name
  bool given(std::string_view name) const;  // whether the value was given to the constructor or to set()
  // Sets a parameter. Usage error for a value of the wrong type or out of range.
  void set(std::string_view name, std::string_view value);

  // The parameters that differ from their defaults, in the order of the table and in canonical spelling, for example
  // "(bits=4, group=64)"; or "" if there are none.
  std::string print() const;
  bool operator==(const Params& o) const { return values_ == o.values_; }

 private:
  size_t index(std::string_view name) const;
  std::span<const ParamSpec> table_;
  std::vector<std::string> values_;
  std::vector<bool> given_;
};

}  // namespace occ
