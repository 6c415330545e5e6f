#include "base/params.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/check.h"
#include "base/error.h"

namespace occ {
namespace {

template <typename T>
bool parse_number(std::string_view text, T* out) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return ec == std::errc() && end == text.data() + text.size();
}

bool is_choice(std::string_view choices, std::string_view value) {
  for (size_t at = 0; at <= choices.size();) {
    const size_t end = std::min(choices.find('|', at), choices.size());
    if (choices.substr(at, end - at) == value) return true;
    at = end + 1;
  }
  return false;
}

// Checks a value and returns its canonical spelling. Usage error for a value of the wrong type or out of range.
std::string canonical(const ParamSpec& spec, std::string_view value, std::string_view owner) {
  switch (spec.type) {
    case ParamSpec::Type::kInt: {
      int64_t v = 0;
      if (!parse_number(value, &v) || static_cast<double>(v) < spec.min || static_cast<double>(v) > spec.max) {
        throw_usage("{}: {} expects an integer from {} to {}, found '{}'", owner, spec.name, spec.min, spec.max, value);
      }
      return fmt::format("{}", v);
    }
    case ParamSpec::Type::kReal: {
      double v = 0;
      if (!parse_number(value, &v) || !(v >= spec.min && v <= spec.max)) {
        throw_usage("{}: {} expects a number from {} to {}, found '{}'", owner, spec.name, spec.min, spec.max, value);
      }
      return fmt::format("{}", v);
    }
    case ParamSpec::Type::kChoice:
      if (!is_choice(spec.choices, value)) {
        throw_usage("{}: {} expects one of {}, found '{}'", owner, spec.name, spec.choices, value);
      }
      return std::string(value);
  }
  OCC_CHECK(false);
}

}  // namespace

Params::Params(std::span<const ParamSpec> table) : Params(table, {}, "") {}

Params::Params(std::span<const ParamSpec> table, const Given& given, std::string_view owner) : table_(table) {
  for (const ParamSpec& spec : table) values_.push_back(canonical(spec, spec.default_value, "default"));
  given_.resize(table.size());
  for (const auto& item : given) {
    const std::string& key = item.first;
    const auto it = std::find_if(table.begin(), table.end(), [&](const ParamSpec& s) { return s.name == key; });
    if (it == table.end()) {
      std::string known;
      for (const ParamSpec& s : table) known += fmt::format("{}{}", known.empty() ? "" : ", ", s.name);
      throw_usage("{}: has no parameter '{}', expected {}", owner, key, known.empty() ? "none" : known);
    }
    const size_t i = static_cast<size_t>(it - table.begin());
    if (given_[i]) throw_usage("{}: parameter '{}' is given twice", owner, key);
    given_[i] = true;
    values_[i] = canonical(*it, item.second, owner);
  }
}

size_t Params::index(std::string_view name) const {
  const auto it = std::find_if(table_.begin(), table_.end(), [&](const ParamSpec& s) { return s.name == name; });
  OCC_CHECK(it != table_.end());
  return static_cast<size_t>(it - table_.begin());
}

int64_t Params::integer(std::string_view name) const {
  const size_t i = index(name);
  OCC_CHECK(table_[i].type == ParamSpec::Type::kInt);
  int64_t v = 0;
  OCC_CHECK(parse_number(values_[i], &v));
  return v;
}
double Params::real(std::string_view name) const {
  const size_t i = index(name);
  OCC_CHECK(table_[i].type == ParamSpec::Type::kReal);
  double v = 0;
  OCC_CHECK(parse_number(values_[i], &v));
  return v;
}
const std::string& Params::choice(std::string_view name) const {
  const size_t i = index(name);
  OCC_CHECK(table_[i].type == ParamSpec::Type::kChoice);
  return values_[i];
}
bool Params::has(std::string_view name) const {
  return std::any_of(table_.begin(), table_.end(), [&](const ParamSpec& s) { return s.name == name; });
}
bool Params::given(std::string_view name) const { return given_[index(name)]; }
void Params::set(std::string_view name, std::string_view value) {
  const size_t i = index(name);
  values_[i] = canonical(table_[i], value, name);
  given_[i] = true;
}

std::string Params::print() const {
  std::string out;
  for (size_t i = 0; i < table_.size(); ++i) {
    if (values_[i] == canonical(table_[i], table_[i].default_value, "default")) continue;
    out += fmt::format("{}{}={}", out.empty() ? "(" : ", ", table_[i].name, values_[i]);
  }
  return out.empty() ? out : out + ")";
}

}  // namespace occ
