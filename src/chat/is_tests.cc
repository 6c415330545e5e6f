// The tests of jinja2 (jinja2/tests.py), what may stand behind `is`.
#include <algorithm>
#include <cmath>

#include "chat/builtins.h"
#include "chat/python_text.h"

namespace occ::jinja {
namespace {

using Arguments = std::vector<Value>;

template <Kind kind>
Value is_kind(Context&, const Value& v, Arguments&, Call&) {
  return Value(v.is(kind));
}
template <bool wanted>
Value is_bool(Context&, const Value& v, Arguments&, Call&) {
  return Value(v.is(Kind::kBool) && v.boolean == wanted);
}
// A comparison; `op` is one of an enumeration because a template parameter cannot be a string.
enum Op { kEq, kNe, kLt, kLe, kGt, kGe, kIn };
template <Op op>
Value compares(Context& c, const Value& v, Arguments& a, Call&) {
  constexpr std::string_view kNames[] = {"==", "!=", "<", "<=", ">", ">=", "in"};
  return Value(compare(c, kNames[op], v, a[0]));
}

bool remainder_is(Context& c, const Value& v, const Value& by, int64_t wanted) {
  return equal(c.meter, binary(c, "%", v, by), Value(wanted));
}
Value odd(Context& c, const Value& v, Arguments&, Call&) { return Value(remainder_is(c, v, Value(int64_t{2}), 1)); }
Value even(Context& c, const Value& v, Arguments&, Call&) { return Value(remainder_is(c, v, Value(int64_t{2}), 0)); }
Value divisible(Context& c, const Value& v, Arguments& a, Call&) { return Value(remainder_is(c, v, a[0], 0)); }
Value defined(Context&, const Value& v, Arguments&, Call&) { return Value(!v.is(Kind::kUndefined)); }
Value boolean(Context&, const Value& v, Arguments&, Call&) { return Value(v.is(Kind::kBool)); }
Value number(Context&, const Value& v, Arguments&, Call&) { return Value(v.is_number()); }
Value sequence(Context&, const Value& v, Arguments&, Call&) {
  const bool view = v.is(Kind::kView) && !v.sequence().label.starts_with("range");
  return Value(has_length(v) && !view);
}
Value iterable(Context&, const Value& v, Arguments&, Call&) { return Value(is_iterable(v)); }
Value callable(Context&, const Value& v, Arguments&, Call&) {
  return Value(v.is(Kind::kFunction) || v.is(Kind::kLoop) || v.is(Kind::kUndefined));
}
Value escaped(Context&, const Value& v, Arguments&, Call&) { return Value(v.is(Kind::kString) && v.text().markup); }
Value lower_case(Context& c, const Value& v, Arguments&, Call&) { return Value(is_all(to_str(c.meter, v), "islower")); }
Value upper_case(Context& c, const Value& v, Arguments&, Call&) { return Value(is_all(to_str(c.meter, v), "isupper")); }
Value filter_exists(Context&, const Value& v, Arguments&, Call&) {
  return Value(v.is(Kind::kString) && find_filter(v.utf8()) != nullptr);
}
Value test_exists(Context&, const Value& v, Arguments&, Call&) {
  return Value(v.is(Kind::kString) && find_test(v.utf8()) != nullptr);
}
// The same object; small numbers and texts are one object in Python too.
Value same_as(Context& c, const Value& v, Arguments& a, Call&) {
  const bool plain = v.is_number() || v.is(Kind::kNone) || v.is(Kind::kString);
  return Value(v.kind == a[0].kind && (plain ? equal(c.meter, v, a[0]) : v.object == a[0].object));
}

constexpr Builtin kTests[] = {
    {"!=", "other!", compares<kNe>},
    {"<", "other!", compares<kLt>},
    {"<=", "other!", compares<kLe>},
    {"==", "other!", compares<kEq>},
    {">", "other!", compares<kGt>},
    {">=", "other!", compares<kGe>},
    {"boolean", "", boolean},
    {"callable", "", callable},
    {"defined", "", defined},
    {"divisibleby", "num!", divisible},
    {"eq", "other!", compares<kEq>},
    {"equalto", "other!", compares<kEq>},
    {"escaped", "", escaped},
    {"even", "", even},
    {"false", "", is_bool<false>},
    {"filter", "", filter_exists},
    {"float", "", is_kind<Kind::kFloat>},
    {"ge", "other!", compares<kGe>},
    {"greaterthan", "other!", compares<kGt>},
    {"gt", "other!", compares<kGt>},
    {"in", "seq!", compares<kIn>},
    {"integer", "", is_kind<Kind::kInt>},
    {"iterable", "", iterable},
    {"le", "other!", compares<kLe>},
    {"lessthan", "other!", compares<kLt>},
    {"lower", "", lower_case},
    {"lt", "other!", compares<kLt>},
    {"mapping", "", is_kind<Kind::kDict>},
    {"ne", "other!", compares<kNe>},
    {"none", "", is_kind<Kind::kNone>},
    {"number", "", number},
    {"odd", "", odd},
    {"sameas", "other!", same_as},
    {"sequence", "", sequence},
    {"string", "", is_kind<Kind::kString>},
    {"test", "", test_exists},
    {"true", "", is_bool<true>},
    {"undefined", "", is_kind<Kind::kUndefined>},
    {"upper", "", upper_case},
};

}  // namespace

const Builtin* find_test(std::string_view name) {
  const auto* at = std::find_if(std::begin(kTests), std::end(kTests), [&](const Builtin& b) { return b.name == name; });
  return at == std::end(kTests) ? nullptr : at;
}

}  // namespace occ::jinja
