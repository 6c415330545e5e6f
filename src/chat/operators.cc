// The operators of expressions.
#include <fmt/format.h>

#include <cmath>

#include "chat/builtins.h"
#include "chat/python_text.h"

namespace occ::jinja {
namespace {

[[noreturn]] void unsupported(std::string_view op, const Value& a, const Value& b) {
  for (const Value* v : {&a, &b}) {
    if (v->is(Kind::kUndefined)) fail_undefined(*v);
  }
  fail("unsupported operands for ", std::string(op), ": '", std::string(type_name(a)), "' and '",
       std::string(type_name(b)), "'");
}

int64_t checked(bool overflow, const int64_t& result) {  // a reference: it is read after the operation
  if (overflow) fail("expected whole numbers that fit into 64 bits, found a larger one");
  return result;
}

int64_t power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  if (base == 0 || base == 1) return exponent == 0 ? 1 : base;
  if (base == -1) return exponent % 2 == 0 ? 1 : -1;
  for (; exponent > 0; --exponent) result = checked(__builtin_mul_overflow(result, base, &result), result);
  return result;
}

Value float_operation(std::string_view op, double a, double b) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "**") {
    if (a == 0 && b < 0) fail("0.0 cannot be raised to a negative power");
    if (a < 0 && b != std::floor(b)) fail("expected a real power, found a complex one");
    return Value(std::pow(a, b));
  }
  if (b == 0) fail("division by zero");
  if (op == "/") return Value(a / b);
  double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && (rest < 0) != (b < 0)) {
    rest += b;
    quotient -= 1;
  }
  return Value(op == "%" ? rest : std::floor(quotient + .5));
}

Value number_operation(std::string_view op, const Value& a, const Value& b) {
  if (a.is(Kind::kFloat) || b.is(Kind::kFloat) || op == "/") return float_operation(op, a.as_float(), b.as_float());
  const int64_t x = a.as_int(), y = b.as_int();
  int64_t result = 0;
  if (op == "+") return Value(checked(__builtin_add_overflow(x, y, &result), result));
  if (op == "-") return Value(checked(__builtin_sub_overflow(x, y, &result), result));
  if (op == "*") return Value(checked(__builtin_mul_overflow(x, y, &result), result));
  if (op == "**") return y < 0 ? float_operation(op, a.as_float(), b.as_float()) : Value(power(x, y));
  if (y == 0) fail("integer division or modulo by zero");
  if (y == -1)
    return op == "%" ? Value(int64_t{0}) : Value(checked(__builtin_sub_overflow(int64_t{0}, x, &result), result));
  int64_t rest = x % y, quotient = x / y;
  if (rest != 0 && (rest < 0) != (y < 0)) {
    rest += y;
    --quotient;
  }
  return Value(op == "%" ? rest : quotient);
}

Value repeated(Context& context, const Value& v, int64_t times) {
  const size_t n = times < 0 ? 0 : static_cast<size_t>(times);
  if (v.is(Kind::kString)) {
    const std::string& text = v.utf8();
    if (n > 0) context.meter.step(n / 16 + 1);
    if (n > (size_t{1} << 40)) fail("expected a shorter text");
    context.meter.text(text.size() * n);
    std::string out;
    out.reserve(text.size() * n);
    for (size_t i = 0; i < n && !text.empty(); ++i) out += text;
    return context.text(std::move(out), v.text().markup);
  }
  const auto& items = v.sequence().items;
  if (!items.empty()) context.meter.step(std::min<size_t>(n, size_t{1} << 40) * items.size());
  std::vector<Value> out;
  for (size_t i = 0; i < n && !items.empty(); ++i) out.insert(out.end(), items.begin(), items.end());
  return make_sequence(context.meter, v.kind, std::move(out));
}

bool repeats(const Value& v, const Value& times) {
  return (v.is(Kind::kString) || v.is(Kind::kList) || v.is(Kind::kTuple)) &&
         (times.is(Kind::kInt) || times.is(Kind::kBool));
}

}  // namespace

Value binary(Context& context, std::string_view op, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return number_operation(op, a, b);
  if (op == "+" && a.is(Kind::kString) && b.is(Kind::kString)) {
    const bool markup = a.text().markup || b.text().markup;
    if (!markup) {
      context.meter.text(a.utf8().size() + b.utf8().size());
      return context.text(a.utf8() + b.utf8());
    }
    const auto safe = [](const Value& v) { return v.text().markup ? v.utf8() : escape_html(v.utf8()); };
    return context.text(safe(a) + safe(b), true);
  }
  if (op == "+" && a.kind == b.kind && (a.is(Kind::kList) || a.is(Kind::kTuple))) {
    const auto &x = a.sequence().items, &y = b.sequence().items;
    context.meter.step(x.size() + y.size());
    std::vector<Value> out = x;
    out.insert(out.end(), y.begin(), y.end());
    return make_sequence(context.meter, a.kind, std::move(out));
  }
  if (op == "*" && repeats(a, b)) return repeated(context, a, b.as_int());
  if (op == "*" && repeats(b, a)) return repeated(context, b, a.as_int());
  if (op == "%" && a.is(Kind::kString)) return context.text(percent_format(context, a.utf8(), b), a.text().markup);
  unsupported(op, a, b);
}

bool contains(Context& context, const Value& container, const Value& item) {
  if (container.is(Kind::kString)) {
    if (item.is(Kind::kUndefined)) fail_undefined(item);
    if (!item.is(Kind::kString)) {
      fail("'in <string>' requires string as left operand, not ", std::string(type_name(item)));
    }
    context.meter.scan(container.utf8().size() + item.utf8().size());
    return find_bytes(container.utf8(), item.utf8()) != std::string::npos;
  }
  if (container.is(Kind::kDict)) {
    const std::string key = hash_key(context.meter, item);
    return container.dict().index.contains(key);
  }
  if (!is_iterable(container)) fail("argument of type '", std::string(type_name(container)), "' is not iterable");
  for (const Value& v : iterate(context.meter, container)) {
    if (equal(context.meter, v, item)) return true;
  }
  return false;
}

bool compare(Context& context, std::string_view op, const Value& a, const Value& b) {
  if (op == "==") return equal(context.meter, a, b);
  if (op == "!=") return !equal(context.meter, a, b);
  if (op == "in") return contains(context, b, a);
  if (op == "not in") return !contains(context, b, a);
  if (op == "<") return less(context.meter, a, b, "<");
  if (op == ">") return less(context.meter, b, a, ">");
  const bool nan = a.is_number() && b.is_number() && (std::isnan(a.as_float()) || std::isnan(b.as_float()));
  if (nan) return false;
  return op == "<=" ? !less(context.meter, b, a, "<=") : !less(context.meter, a, b, ">=");
}

}  // namespace occ::jinja
