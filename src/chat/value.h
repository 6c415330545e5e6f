// The values of chat templates: those of Python that jinja2 lets templates see.
//
// Strings are sequences of code points, kept as UTF-8. Containers never change once they are made, because transformers
// runs templates in jinja2's immutable sandbox; only namespaces do. Whole numbers have 64 bits, in Python any size:
// what does not fit is an error.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace occ::jinja {

enum class Kind : uint8_t {
  kMissing,  // an argument that was not given; never seen by templates
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kView,       // dict.keys(), values(), items(), range(): iterable and with a length, but no list
  kGenerator,  // what filters such as `map` give: can be iterated once
  kDict,
  kNamespace,
  kFunction,
  kLoop,
};

struct Value;

// A fault of a template or of the data given to it; render() adds the line and makes it an occ::Error.
struct Fault {
  std::string message;
  bool refused = false;  // the template called raise_exception
};
[[noreturn]] void throw_fault(std::initializer_list<std::string_view> parts);
template <typename... Args>
[[noreturn]] void fail(const Args&... parts) {
  throw_fault({std::string_view(parts)...});
}

// What a template may use. Everything that takes time or memory is counted here first.
class Meter {
 public:
  // steps: evaluated nodes, touched elements; bytes: of all strings that are made.
  Meter(size_t steps, size_t bytes) : steps_(steps), bytes_(bytes) {}
  void step(size_t n = 1) {
    if (n > steps_) fail("expected an end within the limit of steps, found none");
    steps_ -= n;
  }
  void text(size_t n) {
    if (n > bytes_) fail("expected less text than the limit, found more");
    bytes_ -= n;
  }
  // Reading a text costs less than making one.
  void scan(size_t n) { step(n / 16 + 1); }

 private:
  size_t steps_, bytes_;
};

struct Text {
  std::string utf8;
  size_t length;        // in code points
  bool markup = false;  // the result of `safe` or `escape`
};
struct Sequence {
  std::vector<Value> items;
  size_t depth;       // of the nesting of containers
  std::string label;  // of views: what Python prints before the items
  size_t next = 0;    // of generators: the first item that was not taken yet
};
struct Dict;
struct Namespace;
struct Loop;
struct Call;
class Context;
struct Function;

struct Value {
  Kind kind = Kind::kUndefined;
  union {
    bool boolean;
    int64_t integer = 0;
    double real;
  };
  std::shared_ptr<void> object;  // by kind: Text (of undefined: what is said when it is used), Sequence, ...

  Value() = default;
  explicit Value(bool b) : kind(Kind::kBool) {
    integer = 0;
    boolean = b;
  }
  explicit Value(int64_t i) : kind(Kind::kInt), integer(i) {}
  explicit Value(double d) : kind(Kind::kFloat) { real = d; }
  static Value none();
  static Value missing();
  template <typename T>
  Value(Kind k, std::shared_ptr<T> o) : kind(k), object(std::move(o)) {}

  bool is(Kind k) const { return kind == k; }
  bool is_number() const { return kind == Kind::kBool || kind == Kind::kInt || kind == Kind::kFloat; }
  bool is_sequence() const;  // list, tuple, view or generator
  const Text& text() const { return *static_cast<const Text*>(object.get()); }
  const std::string& utf8() const { return text().utf8; }
  Sequence& sequence() const { return *static_cast<Sequence*>(object.get()); }
  const Dict& dict() const { return *static_cast<const Dict*>(object.get()); }
  Namespace& space() const;
  Function& function() const;
  Loop& loop() const;
  int64_t as_int() const { return kind == Kind::kBool ? int64_t{boolean} : integer; }
  double as_float() const { return kind == Kind::kFloat ? real : static_cast<double>(as_int()); }
};

struct Dict {
  std::vector<std::pair<Value, Value>> items;     // in the order in which they were added
  std::unordered_map<std::string, size_t> index;  // hash_key() to a place in items
  size_t depth = 1;
  const Value* find(std::string_view key) const;  // a key that is a string
};
struct Namespace {
  std::vector<std::pair<std::string, Value>> items;
};

// Arguments of a call.
struct Call {
  std::vector<Value> args;
  std::vector<std::pair<std::string, Value>> named;
};
struct Function {
  std::string name;
  std::function<Value(Context&, Call&)> run;
};

inline constexpr size_t kMaxValueDepth = 100;

Value make_text(Meter& meter, std::string utf8, bool markup = false);
Value make_sequence(Meter& meter, Kind kind, std::vector<Value> items, std::string label = "");
Value make_undefined(std::string message);
[[noreturn]] void fail_undefined(const Value& v);
// Of equal keys the last value counts, in the place of the first.
Value make_dict(Meter& meter, std::vector<std::pair<Value, Value>> items);
Value make_function(std::string name, std::function<Value(Context&, Call&)> run);

bool is_true(const Value& v);
bool equal(Meter& meter, const Value& a, const Value& b);
// Whether a < b; fails for what Python does not order. `what`: the operator, for the error.
bool less(Meter& meter, const Value& a, const Value& b, const char* what = "<");
// Equal for equal values; fails for lists, dicts and others that Python cannot hash.
std::string hash_key(Meter& meter, const Value& v);
// The elements that iteration gives; fails for what cannot be iterated. A generator is empty afterwards.
std::vector<Value> iterate(Meter& meter, const Value& v);
bool is_iterable(const Value& v);
// Whether len() works, and what it gives.
bool has_length(const Value& v);
size_t length(const Value& v);

std::string to_str(Meter& meter, const Value& v);  // str(v)
std::string to_repr(Meter& meter, const Value& v);
std::string float_repr(double d);
const char* type_name(const Value& v);  // as Python prints it: "dict"

}  // namespace occ::jinja
