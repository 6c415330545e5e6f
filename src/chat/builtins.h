// What templates can use without defining it: filters, tests, methods, operators and functions. Each is one line of a
// table.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chat/value.h"

namespace occ::jinja {

inline constexpr size_t kMaxCallDepth = 600;  // of nested evaluations

// The state of one rendering.
class Context {
 public:
  Context(const Meter& limits, std::time_t time) : meter(limits), now(time) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context();

  Value call(const Value& function, Call& arguments);
  Value filter(const std::string& name, const Value& input, Call& arguments);
  bool test(const std::string& name, const Value& input, Call& arguments);
  Value text(std::string utf8, bool markup = false) { return make_text(meter, std::move(utf8), markup); }
  Value list(std::vector<Value> items) { return make_sequence(meter, Kind::kList, std::move(items)); }
  Value make_namespace(std::vector<std::pair<std::string, Value>> items);

  Meter meter;
  std::time_t now;
  size_t depth = 0;

 private:
  std::vector<std::shared_ptr<Namespace>> spaces_;  // emptied at the end, because they can hold each other
};

// Counts nested evaluations, which must not use up the stack.
class Depth {
 public:
  explicit Depth(Context& context) : context_(context) {
    if (++context_.depth > kMaxCallDepth) {
      --context_.depth;
      fail("expected less recursion, found more");
    }
  }
  ~Depth() { --context_.depth; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;

 private:
  Context& context_;
};

// `a`: the arguments by the names in `parameters`, missing ones kMissing. Names that end in '!' must be given. With
// parameters "*" the call is left as it is.
struct Builtin {
  std::string_view name, parameters;
  Value (*run)(Context& context, const Value& input, std::vector<Value>& a, Call& call);
};
// Whether an optional argument was given, and not as none.
inline bool given(const Value& v) { return !v.is(Kind::kMissing) && !v.is(Kind::kNone); }
Value run_builtin(const Builtin& builtin, Context& context, const Value& input, Call& call);

const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);
// A method that the type of `object` has; null if it has none of this name that a template may call.
const Builtin* find_method(const Value& object, std::string_view name);
// A global name; undefined if there is none.
Value global(Context& context, const std::string& name);

// object.name and object[key], as jinja2 looks them up: undefined if there is none.
Value get_attribute(Context& context, const Value& object, const std::string& name);
Value get_item(Context& context, const Value& object, const Value& key);
// "a.0.b" one after the other, as filters take attributes.
Value get_path(Context& context, Value object, const Value& path, const Value& otherwise);
// object[start:stop:step]; parts that are none are left out.
Value slice(Context& context, const Value& object, const Value& start, const Value& stop, const Value& step);
Value loop_attribute(Context& context, const Value& loop, const std::string& name);

Value binary(Context& context, std::string_view op, const Value& a, const Value& b);
bool compare(Context& context, std::string_view op, const Value& a, const Value& b);
bool contains(Context& context, const Value& container, const Value& item);
// text % values, and text.format(...) without format specifications.
std::string percent_format(Context& context, const std::string& text, const Value& values);
std::string brace_format(Context& context, const std::string& text, const Call& call);
// json.dumps.
struct JsonOptions {
  bool ensure_ascii = false, sort_keys = false, lines = false;
  std::string indent, item_separator = ", ", key_separator = ": ";
};
std::string to_json(Context& context, const Value& value, const JsonOptions& options);

// A whole number as an argument.
int64_t int_argument(const Value& v, const char* what);
const std::string& text_argument(const Value& v, const char* what);

}  // namespace occ::jinja
