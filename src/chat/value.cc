#include "chat/value.h"

#include <fmt/format.h>

#include <cmath>

#include "chat/python_text.h"

namespace occ::jinja {

void throw_fault(std::initializer_list<std::string_view> parts) {
  Fault fault;
  for (const std::string_view part : parts) fault.message += part;
  throw fault;
}

Value Value::none() {
  Value v;
  v.kind = Kind::kNone;
  return v;
}
Value Value::missing() {
  Value v;
  v.kind = Kind::kMissing;
  return v;
}
bool Value::is_sequence() const {
  return kind == Kind::kList || kind == Kind::kTuple || kind == Kind::kView || kind == Kind::kGenerator;
}
Namespace& Value::space() const { return *static_cast<Namespace*>(object.get()); }
Function& Value::function() const { return *static_cast<Function*>(object.get()); }

const Value* Dict::find(std::string_view key) const {
  const auto it = index.find(fmt::format("s{}", key));
  return it == index.end() ? nullptr : &items[it->second].second;
}

namespace {

size_t depth_of(const Value& v) {
  if (v.is_sequence()) return v.sequence().depth;
  return v.is(Kind::kDict) ? v.dict().depth : 0;
}

void require_depth(size_t depth) {
  if (depth > kMaxValueDepth) fail("expected less nested lists and dicts, found more");
}

}  // namespace

Value make_text(Meter& meter, std::string utf8, bool markup) {
  meter.text(utf8.size() + 1);
  auto text = std::make_shared<Text>();
  text->length = code_points(utf8);
  text->utf8 = std::move(utf8);
  text->markup = markup;
  return {Kind::kString, std::move(text)};
}

Value make_sequence(Meter& meter, Kind kind, std::vector<Value> items, std::string label) {
  meter.step(items.size() + 1);
  auto sequence = std::make_shared<Sequence>();
  sequence->depth = 1;
  for (const Value& v : items) sequence->depth = std::max(sequence->depth, depth_of(v) + 1);
  require_depth(sequence->depth);
  sequence->items = std::move(items);
  sequence->label = std::move(label);
  return {kind, std::move(sequence)};
}

Value make_undefined(std::string message) {
  auto text = std::make_shared<Text>();
  text->utf8 = std::move(message);
  return {Kind::kUndefined, std::move(text)};
}

void fail_undefined(const Value& v) { fail(v.object == nullptr ? "a value is undefined" : v.utf8().c_str()); }

Value make_dict(Meter& meter, std::vector<std::pair<Value, Value>> items) {
  meter.step(4 * items.size() + 1);
  auto dict = std::make_shared<Dict>();
  for (auto& [key, value] : items) {
    dict->depth = std::max({dict->depth, depth_of(key) + 1, depth_of(value) + 1});
    const auto [at, fresh] = dict->index.emplace(hash_key(meter, key), dict->items.size());
    if (fresh) {
      dict->items.emplace_back(std::move(key), std::move(value));
    } else {
      dict->items[at->second].second = std::move(value);
    }
  }
  require_depth(dict->depth);
  return {Kind::kDict, std::move(dict)};
}

Value make_function(std::string name, std::function<Value(Context&, Call&)> run) {
  auto function = std::make_shared<Function>();
  function->name = std::move(name);
  function->run = std::move(run);
  return {Kind::kFunction, std::move(function)};
}

bool is_true(const Value& v) {
  switch (v.kind) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return v.boolean;
    case Kind::kInt:
      return v.integer != 0;
    case Kind::kFloat:
      return v.real != 0;
    case Kind::kString:
      return !v.utf8().empty();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      return !v.sequence().items.empty();
    case Kind::kDict:
      return !v.dict().items.empty();
    case Kind::kGenerator:
    case Kind::kNamespace:
    case Kind::kFunction:
    case Kind::kLoop:
      return true;
  }
  return true;
}

bool equal(Meter& meter, const Value& a, const Value& b) {
  meter.step();
  if (a.is_number() && b.is_number()) {
    if (a.is(Kind::kFloat) || b.is(Kind::kFloat)) return a.as_float() == b.as_float();
    return a.as_int() == b.as_int();
  }
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kString:
      meter.scan(std::min(a.utf8().size(), b.utf8().size()));
      return a.utf8() == b.utf8();
    case Kind::kList:
    case Kind::kTuple: {
      const auto &x = a.sequence().items, &y = b.sequence().items;
      if (x.size() != y.size()) return false;
      for (size_t i = 0; i < x.size(); ++i) {
        if (!equal(meter, x[i], y[i])) return false;
      }
      return true;
    }
    case Kind::kDict: {
      if (a.dict().items.size() != b.dict().items.size()) return false;
      for (const auto& [key, value] : a.dict().items) {
        const auto at = b.dict().index.find(hash_key(meter, key));
        if (at == b.dict().index.end() || !equal(meter, value, b.dict().items[at->second].second)) return false;
      }
      return true;
    }
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    default:
      return a.object == b.object;
  }
}

bool less(Meter& meter, const Value& a, const Value& b, const char* what) {
  meter.step();
  for (const Value* v : {&a, &b}) {
    if (v->is(Kind::kUndefined)) fail_undefined(*v);
  }
  if (a.is_number() && b.is_number()) {
    if (a.is(Kind::kFloat) || b.is(Kind::kFloat)) return a.as_float() < b.as_float();
    return a.as_int() < b.as_int();
  }
  if (a.is(Kind::kString) && b.is(Kind::kString)) {
    meter.scan(std::min(a.utf8().size(), b.utf8().size()));
    return a.utf8() < b.utf8();  // the order of UTF-8 is that of code points
  }
  if (a.kind == b.kind && (a.is(Kind::kList) || a.is(Kind::kTuple))) {
    const auto &x = a.sequence().items, &y = b.sequence().items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!equal(meter, x[i], y[i])) return less(meter, x[i], y[i], what);
    }
    return x.size() < y.size();
  }
  fail("'", std::string(what), "' is not supported between '", std::string(type_name(a)), "' and '",
       std::string(type_name(b)), "'");
}

std::string hash_key(Meter& meter, const Value& v) {
  meter.step();
  switch (v.kind) {
    case Kind::kString:
      meter.scan(v.utf8().size());
      return fmt::format("s{}", v.utf8());
    case Kind::kBool:
    case Kind::kInt:
      return fmt::format("n{}", v.as_int());
    case Kind::kFloat:
      if (v.real == std::floor(v.real) && std::fabs(v.real) < 9e18) {
        return fmt::format("n{}", static_cast<int64_t>(v.real));
      }
      return fmt::format("f{}", v.real);
    case Kind::kNone:
      return "N";
    case Kind::kUndefined:
      return "U";
    case Kind::kTuple: {
      std::string key = "(";
      for (const Value& item : v.sequence().items) {
        const std::string part = hash_key(meter, item);
        key += fmt::format("{}:{}", part.size(), part);
        meter.scan(key.size());
      }
      return key;
    }
    case Kind::kList:
    case Kind::kDict:
    case Kind::kView:
      fail("unhashable type: '", std::string(type_name(v)), "'");
    default:
      return fmt::format("o{}", v.object.get());
  }
}

bool is_iterable(const Value& v) {
  return v.is_sequence() || v.is(Kind::kString) || v.is(Kind::kDict) || v.is(Kind::kUndefined);
}

std::vector<Value> iterate(Meter& meter, const Value& v) {
  if (v.is_sequence()) {
    Sequence& sequence = v.sequence();
    meter.step(sequence.items.size() + 1);
    if (!v.is(Kind::kGenerator)) return sequence.items;
    std::vector<Value> rest(sequence.items.begin() + static_cast<std::ptrdiff_t>(sequence.next), sequence.items.end());
    sequence.next = sequence.items.size();
    return rest;
  }
  std::vector<Value> out;
  if (v.is(Kind::kUndefined)) return out;
  if (v.is(Kind::kString)) {
    const std::string& text = v.utf8();
    meter.step(text.size() + 1);
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      at = next_code_point(text, at);
      out.push_back(make_text(meter, text.substr(begin, at - begin), v.text().markup));
    }
    return out;
  }
  if (v.is(Kind::kDict)) {
    meter.step(v.dict().items.size() + 1);
    for (const auto& [key, value] : v.dict().items) out.push_back(key);
    return out;
  }
  fail("'", std::string(type_name(v)), "' object is not iterable");
}

bool has_length(const Value& v) {
  return v.is(Kind::kString) || v.is(Kind::kDict) || v.is(Kind::kUndefined) ||
         (v.is_sequence() && !v.is(Kind::kGenerator));
}

size_t length(const Value& v) {
  if (v.is(Kind::kUndefined)) return 0;
  if (v.is(Kind::kString)) return v.text().length;
  if (v.is(Kind::kDict)) return v.dict().items.size();
  if (!has_length(v)) fail("object of type '", std::string(type_name(v)), "' has no len()");
  return v.sequence().items.size();
}

std::string float_repr(double d) {
  if (std::isnan(d)) return "nan";
  std::string text = fmt::format("{}", d);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

const char* type_name(const Value& v) {
  switch (v.kind) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kView:
      return v.sequence().label.starts_with("range") ? "range" : v.sequence().label.c_str();
    case Kind::kGenerator:
      return "generator";
    case Kind::kDict:
      return "dict";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kFunction:
      return "function";
    case Kind::kLoop:
      return "LoopContext";
  }
  return "object";
}

namespace {

class Printer {
 public:
  explicit Printer(Meter& meter) : meter_(meter) {}

  // What is printed may be far larger than the values, which may share parts, so it is counted as it grows.
  void repr(const Value& v) {
    meter_.step();
    if (++depth_ > 2 * kMaxValueDepth) fail("expected less nested values, found more");
    const size_t before = out.size();
    switch (v.kind) {
      case Kind::kString:
        out += quote(v.text());
        break;
      case Kind::kList:
        items(v.sequence(), "[", "]");
        break;
      case Kind::kTuple:
        items(v.sequence(), "(", v.sequence().items.size() == 1 ? ",)" : ")");
        break;
      case Kind::kView:
        out += v.sequence().label;
        if (!v.sequence().label.starts_with("range(")) items(v.sequence(), "([", "])");
        break;
      case Kind::kDict: {
        out += '{';
        bool first = true;
        for (const auto& [key, value] : v.dict().items) {
          if (!first) out += ", ";
          first = false;
          repr(key);
          out += ": ";
          repr(value);
        }
        out += '}';
        break;
      }
      case Kind::kNamespace: {
        out += "<Namespace {";
        bool first = true;
        for (const auto& [key, value] : v.space().items) {
          if (!first) out += ", ";
          first = false;
          out += fmt::format("'{}': ", key);
          repr(value);
        }
        out += "}>";
        break;
      }
      case Kind::kUndefined:
        out += "Undefined";
        break;
      case Kind::kGenerator:
        out += "<generator object>";
        break;
      case Kind::kFunction:
        out += fmt::format("<function '{}'>", v.function().name);
        break;
      case Kind::kLoop:
        out += "<LoopContext>";
        break;
      default:
        out += to_str(meter_, v);
    }
    --depth_;
    if (depth_ == 0 || out.size() - before < 4096) meter_.text(out.size() - before);
  }

  std::string out;

 private:
  void items(const Sequence& sequence, const char* open, const char* close) {
    out += open;
    for (size_t i = 0; i < sequence.items.size(); ++i) {
      if (i > 0) out += ", ";
      repr(sequence.items[i]);
    }
    out += close;
  }
  static std::string quote(const Text& text) {
    return text.markup ? fmt::format("Markup({})", python_quote(text.utf8)) : python_quote(text.utf8);
  }

  Meter& meter_;
  size_t depth_ = 0;
};

}  // namespace

std::string to_repr(Meter& meter, const Value& v) {
  Printer printer(meter);
  printer.repr(v);
  return std::move(printer.out);
}

std::string to_str(Meter& meter, const Value& v) {
  switch (v.kind) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return "";
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return v.boolean ? "True" : "False";
    case Kind::kInt:
      return std::to_string(v.integer);
    case Kind::kFloat:
      return float_repr(v.real);
    case Kind::kString:
      meter.scan(v.utf8().size());
      return v.utf8();
    default:
      return to_repr(meter, v);
  }
}

}  // namespace occ::jinja
