// The functions that every template can call.
#include <algorithm>

#include "chat/builtins.h"
#include "chat/python_text.h"

namespace occ::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // as in jinja2's sandbox

using Arguments = std::vector<Value>;

Value range(Context& c, const Value&, Arguments&, Call& call) {
  if (call.args.empty() || call.args.size() > 3 || !call.named.empty()) fail("range: expected 1 to 3 whole numbers");
  std::vector<int64_t> n;
  for (const Value& v : call.args) n.push_back(int_argument(v, "range"));
  const int64_t start = n.size() > 1 ? n[0] : 0, stop = n.size() > 1 ? n[1] : n[0], step = n.size() > 2 ? n[2] : 1;
  if (step == 0) fail("range() arg 3 must not be zero");
  std::vector<Value> out;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (std::ssize(out) >= kMaxRange) fail("Range too big. The sandbox blocks ranges larger than 100000.");
    out.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  std::string label = "range(" + std::to_string(start) + ", " + std::to_string(stop);
  label += step == 1 ? ")" : ", " + std::to_string(step) + ")";
  return make_sequence(c.meter, Kind::kView, std::move(out), std::move(label));
}

// dict(items, key=value, ...): `call` as pairs.
std::vector<std::pair<Value, Value>> pairs(Context& c, const Call& call, const char* who) {
  std::vector<std::pair<Value, Value>> out;
  if (call.args.size() > 1) fail(who, ": expected at most one positional argument");
  if (!call.args.empty() && call.args[0].is(Kind::kDict)) {
    c.meter.step(call.args[0].dict().items.size());
    out = call.args[0].dict().items;
  } else if (!call.args.empty()) {
    for (const Value& item : iterate(c.meter, call.args[0])) {
      const std::vector<Value> pair = iterate(c.meter, item);
      if (pair.size() != 2) fail(who, ": expected pairs");
      out.emplace_back(pair[0], pair[1]);
    }
  }
  for (const auto& [name, value] : call.named) out.emplace_back(c.text(name), value);
  return out;
}

Value dict(Context& c, const Value&, Arguments&, Call& call) { return make_dict(c.meter, pairs(c, call, "dict")); }

Value namespace_function(Context& c, const Value&, Arguments&, Call& call) {
  const Value unique = make_dict(c.meter, pairs(c, call, "namespace"));
  std::vector<std::pair<std::string, Value>> items;
  for (const auto& [key, value] : unique.dict().items) items.emplace_back(text_argument(key, "namespace"), value);
  return c.make_namespace(std::move(items));
}

Value raise_exception(Context& c, const Value&, Arguments& a, Call&) {
  throw Fault{to_str(c.meter, a[0]).substr(0, 1000), true};
}

Value strftime_now(Context& c, const Value&, Arguments& a, Call&) {
  return c.text(format_time(text_argument(a[0], "strftime_now"), c.now));
}

constexpr Builtin kGlobals[] = {
    {"dict", "*", dict},   {"namespace", "*", namespace_function},    {"raise_exception", "message!", raise_exception},
    {"range", "*", range}, {"strftime_now", "format!", strftime_now},
};

}  // namespace

Value global(Context& context, const std::string& name) {
  context.meter.step();
  for (const Builtin& builtin : kGlobals) {
    if (builtin.name != name) continue;
    return make_function(name, [&builtin](Context& c, Call& call) { return run_builtin(builtin, c, Value(), call); });
  }
  return make_undefined("'" + name + "' is undefined");
}

}  // namespace occ::jinja
