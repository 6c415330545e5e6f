#include "chat/builtins.h"

#include <algorithm>

#include "chat/python_text.h"

namespace occ::jinja {

Context::~Context() {
  for (const auto& space : spaces_) space->items.clear();
}

Value Context::call(const Value& function, Call& arguments) {
  const Depth guard(*this);
  meter.step();
  if (function.is(Kind::kUndefined)) fail_undefined(function);
  if (function.is(Kind::kLoop)) return loop_attribute(*this, function, "").function().run(*this, arguments);
  if (!function.is(Kind::kFunction)) fail("'", std::string(type_name(function)), "' object is not callable");
  return function.function().run(*this, arguments);
}

Value Context::filter(const std::string& name, const Value& input, Call& arguments) {
  const Depth guard(*this);
  meter.step();
  const Builtin* filter = find_filter(name);
  if (filter == nullptr) fail("no filter named '", name, "'");
  return run_builtin(*filter, *this, input, arguments);
}

bool Context::test(const std::string& name, const Value& input, Call& arguments) {
  const Depth guard(*this);
  meter.step();
  const Builtin* test = find_test(name);
  if (test == nullptr) fail("no test named '", name, "'");
  return is_true(run_builtin(*test, *this, input, arguments));
}

Value Context::make_namespace(std::vector<std::pair<std::string, Value>> items) {
  meter.step(items.size() + 10);
  auto space = std::make_shared<Namespace>();
  space->items = std::move(items);
  for (const auto& [name, value] : space->items) {
    if (name.starts_with('_')) fail("namespace: expected names without '_' at their beginning, found '", name, "'");
  }
  spaces_.push_back(space);
  return {Kind::kNamespace, std::move(space)};
}

Value run_builtin(const Builtin& builtin, Context& context, const Value& input, Call& call) {
  std::vector<Value> a;
  if (builtin.parameters == "*") return builtin.run(context, input, a, call);
  size_t used = 0, place = 0;
  for (std::string_view rest = builtin.parameters; !rest.empty();) {
    std::string_view name = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    const bool required = name.ends_with('!');
    if (required) name.remove_suffix(1);
    Value value = Value::missing();
    if (place < call.args.size()) value = call.args[place];
    for (const auto& [key, given] : call.named) {
      if (key != name) continue;
      if (!value.is(Kind::kMissing)) fail(std::string(builtin.name).c_str(), ": argument '", key, "' is given twice");
      value = given;
      ++used;
    }
    if (required && value.is(Kind::kMissing)) {
      fail(std::string(builtin.name).c_str(), ": expected argument '", std::string(name), "', found none");
    }
    a.push_back(std::move(value));
    ++place;
  }
  if (call.args.size() > place || used != call.named.size()) {
    fail(std::string(builtin.name).c_str(), ": expected other arguments: ", std::string(builtin.parameters));
  }
  return builtin.run(context, input, a, call);
}

int64_t int_argument(const Value& v, const char* what) {
  if (v.is(Kind::kUndefined)) fail_undefined(v);
  if (!v.is(Kind::kInt) && !v.is(Kind::kBool)) {
    fail(what, ": expected a whole number, found ", std::string(type_name(v)));
  }
  return v.as_int();
}

const std::string& text_argument(const Value& v, const char* what) {
  if (v.is(Kind::kUndefined)) fail_undefined(v);
  if (!v.is(Kind::kString)) fail(what, ": expected a string, found ", std::string(type_name(v)));
  return v.utf8();
}

namespace {

std::string place_of(const Value& object, const Value& key, Context& context) {
  const std::string name = key.is(Kind::kString) ? python_quote(key.utf8().substr(0, 100)) : to_str(context.meter, key);
  const std::string type = object.is(Kind::kNone) ? "None" : std::string(type_name(object)) + " object";
  return "'" + type + "' has no " + (key.is(Kind::kString) ? "attribute " : "element ") + name;
}

Value method(const Value& object, const Builtin& builtin) {
  return make_function(std::string(builtin.name), [object, &builtin](Context& context, Call& call) {
    return run_builtin(builtin, context, object, call);
  });
}

// What getattr() gives, kMissing if there is nothing.
Value python_attribute(Context& context, const Value& object, const std::string& name) {
  if (object.is(Kind::kLoop)) return loop_attribute(context, object, name);
  if (object.is(Kind::kNamespace)) {
    context.meter.step(object.space().items.size() / 8 + 1);
    for (const auto& [key, value] : object.space().items) {
      if (key == name) return value;
    }
    return Value::missing();
  }
  if (object.is(Kind::kFunction) && name == "name") return context.text(object.function().name);
  const Builtin* builtin = find_method(object, name);
  return builtin == nullptr ? Value::missing() : method(object, *builtin);
}

// What object[key] gives, kMissing if there is nothing.
Value python_item(Context& context, const Value& object, const Value& key) {
  if (object.is(Kind::kDict)) {
    if (key.is(Kind::kList) || key.is(Kind::kDict) || key.is(Kind::kView)) return Value::missing();
    const auto at = object.dict().index.find(hash_key(context.meter, key));
    return at == object.dict().index.end() ? Value::missing() : object.dict().items[at->second].second;
  }
  if (!key.is(Kind::kInt) && !key.is(Kind::kBool)) return Value::missing();
  const bool range = object.is(Kind::kView) && object.sequence().label.starts_with("range");
  if (!object.is(Kind::kString) && !object.is(Kind::kList) && !object.is(Kind::kTuple) && !range)
    return Value::missing();
  const auto size = static_cast<int64_t>(length(object));
  const int64_t at = key.as_int() < 0 ? key.as_int() + size : key.as_int();
  if (at < 0 || at >= size) return Value::missing();
  if (!object.is(Kind::kString)) return object.sequence().items[static_cast<size_t>(at)];
  const Text& text = object.text();
  context.meter.scan(text.utf8.size() == text.length ? 1 : text.utf8.size());
  const size_t begin =
      text.utf8.size() == text.length ? static_cast<size_t>(at) : byte_of(text.utf8, static_cast<size_t>(at));
  return context.text(text.utf8.substr(begin, next_code_point(text.utf8, begin) - begin), text.markup);
}

}  // namespace

Value get_attribute(Context& context, const Value& object, const std::string& name) {
  if (object.is(Kind::kUndefined)) fail_undefined(object);
  Value found = python_attribute(context, object, name);
  if (!found.is(Kind::kMissing)) return found;
  const Value key = context.text(name);
  if (object.is(Kind::kDict)) found = python_item(context, object, key);
  return found.is(Kind::kMissing) ? make_undefined(place_of(object, key, context)) : found;
}

Value get_item(Context& context, const Value& object, const Value& key) {
  if (object.is(Kind::kUndefined)) fail_undefined(object);
  Value found = python_item(context, object, key);
  if (found.is(Kind::kMissing) && key.is(Kind::kString)) found = python_attribute(context, object, key.utf8());
  return found.is(Kind::kMissing) ? make_undefined(place_of(object, key, context)) : found;
}

Value get_path(Context& context, Value object, const Value& path, const Value& otherwise) {
  const auto step = [&](const Value& key) {
    object = get_item(context, object, key);
    const bool given = !otherwise.is(Kind::kMissing) && !otherwise.is(Kind::kNone);
    if (given && object.is(Kind::kUndefined)) object = otherwise;
  };
  if (path.is(Kind::kMissing) || path.is(Kind::kNone)) return object;
  if (!path.is(Kind::kString)) {
    step(path);
    return object;
  }
  const std::string dot = ".";
  for (const std::string& part : split(path.utf8(), &dot, -1)) {
    const bool number = part.size() < 18 && is_all(part, "isdigit");
    step(number ? Value(int64_t{std::stoll(part)}) : context.text(part));
  }
  return object;
}

Value slice(Context& context, const Value& object, const Value& start, const Value& stop, const Value& step) {
  if (object.is(Kind::kUndefined)) fail_undefined(object);
  const bool range = object.is(Kind::kView) && object.sequence().label.starts_with("range");
  if (!object.is(Kind::kString) && !object.is(Kind::kList) && !object.is(Kind::kTuple) && !range) {
    fail("'", std::string(type_name(object)), "' object cannot be sliced");
  }
  const auto size = static_cast<int64_t>(length(object));
  const int64_t by = step.is(Kind::kNone) ? 1 : int_argument(step, "slice");
  if (by == 0) fail("slice step cannot be zero");
  const auto bound = [&](const Value& v, int64_t otherwise) {
    if (v.is(Kind::kNone)) return otherwise;
    int64_t i = int_argument(v, "slice");
    if (i < 0) i = std::max<int64_t>(i, -size - 1) + size;
    return std::clamp<int64_t>(i, by < 0 ? -1 : 0, by < 0 ? size - 1 : size);
  };
  const int64_t from = bound(start, by < 0 ? size - 1 : 0), to = bound(stop, by < 0 ? -1 : size);
  std::vector<size_t> places;
  for (int64_t i = from; by > 0 ? i < to : i > to;) {
    places.push_back(static_cast<size_t>(i));
    if (__builtin_add_overflow(i, by, &i)) break;
  }
  context.meter.step(places.size() + 1);
  if (!object.is(Kind::kString)) {
    std::vector<Value> items;
    items.reserve(places.size());
    for (const size_t i : places) items.push_back(object.sequence().items[i]);
    return make_sequence(context.meter, object.is(Kind::kTuple) ? Kind::kTuple : Kind::kList, std::move(items));
  }
  const std::string& text = object.utf8();
  context.meter.scan(text.size());
  std::vector<size_t> begins;  // of every code point, in bytes
  for (size_t at = 0; at < text.size(); at = next_code_point(text, at)) begins.push_back(at);
  begins.push_back(text.size());
  std::string out;
  for (const size_t i : places) out.append(text, begins[i], begins[i + 1] - begins[i]);
  return context.text(std::move(out), object.text().markup);
}

}  // namespace occ::jinja
