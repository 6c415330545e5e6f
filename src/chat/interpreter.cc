#include "chat/interpreter.h"

#include <algorithm>
#include <utility>

#include "chat/parser.h"
#include "chat/python_text.h"
#include "chat/scope.h"

namespace occ::jinja {
namespace {

using Body = std::vector<NodePtr>;
enum class Flow { kNext, kBreak, kContinue };

class Interpreter {
 public:
  Interpreter(Context& context, std::vector<std::pair<std::string, Value>> variables) : c_(context) {
    for (auto& [name, value] : variables) variables_.insert_or_assign(std::move(name), std::move(value));
  }
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;
  ~Interpreter() {
    for (const ScopePtr& scope : captured_) scope->variables.clear();  // macros and their scopes hold each other
  }

  std::string run(const Body& body) {
    std::string out;
    try {
      execute(body, std::make_shared<Scope>(), out);
    } catch (Fault& fault) {
      if (!fault.refused) fault.message = "line " + std::to_string(line_) + ": " + fault.message;
      throw;
    }
    return out;
  }

 private:
  // ---- Statements.

  Flow execute(const Body& body, const ScopePtr& scope, std::string& out) {
    for (const NodePtr& node : body) {
      const Flow flow = execute(*node, scope, out);
      if (flow != Flow::kNext) return flow;
    }
    return Flow::kNext;
  }

  Flow execute(const Node& node, const ScopePtr& scope, std::string& out) {
    const Depth guard(c_);
    c_.meter.step();
    line_ = node.line;
    switch (node.kind) {
      case NodeKind::kOutput:
        for (const NodePtr& part : node.parts) {
          line_ = part->line;
          const std::string text = to_str(c_.meter, evaluate(*part, scope));
          c_.meter.text(text.size());
          out += text;
        }
        return Flow::kNext;
      case NodeKind::kFor:
        return loop(node, scope, out, c_.meter, 0, evaluate(*node.parts[1], scope));
      case NodeKind::kBranches:
        for (size_t i = 0; i < node.parts.size(); ++i) {
          if (is_true(evaluate(*node.parts[i], scope))) return execute(node.bodies[i], scope, out);
        }
        return node.bodies.size() > node.parts.size() ? execute(node.bodies.back(), scope, out) : Flow::kNext;
      case NodeKind::kSet:
        assign(*node.parts[0], evaluate(*node.parts[1], scope), scope);
        return Flow::kNext;
      case NodeKind::kSetBlock: {
        Value text = c_.text(captured_text(node.bodies[0], scope));
        if (node.parts[1] != nullptr) text = apply_filter(*node.parts[1], scope, &text);
        assign(*node.parts[0], text, scope);
        return Flow::kNext;
      }
      case NodeKind::kMacro:
        scope->variables.insert_or_assign(node.name, macro(node, scope));
        return Flow::kNext;
      case NodeKind::kCallBlock: {
        const Value caller = macro(node, scope);
        out += to_str(c_.meter, evaluate_call(*node.parts[0], scope, &caller));
        return Flow::kNext;
      }
      case NodeKind::kFilterBlock: {
        const Value text = c_.text(captured_text(node.bodies[0], scope));
        out += to_str(c_.meter, apply_filter(*node.parts[0], scope, &text));
        return Flow::kNext;
      }
      case NodeKind::kWith: {
        const ScopePtr inner = scope_in(scope);
        for (size_t i = 0; i < node.parts.size(); i += 2) {
          assign(*node.parts[i], evaluate(*node.parts[i + 1], scope), inner);
        }
        return execute(node.bodies[0], inner, out);
      }
      case NodeKind::kScope:
        return execute(node.bodies[0], scope_in(scope), out);
      case NodeKind::kBreak:
        return Flow::kBreak;
      case NodeKind::kContinue:
        return Flow::kContinue;
      default:
        fail("'", node.name, "' is not supported: there are no other templates");
    }
  }

  static ScopePtr scope_in(const ScopePtr& parent) {
    auto scope = std::make_shared<Scope>();
    scope->parent = parent;
    return scope;
  }

  std::string captured_text(const Body& body, const ScopePtr& scope) {
    std::string out;
    execute(body, scope_in(scope), out);
    return out;
  }

  void assign(const Node& target, const Value& value, const ScopePtr& scope) {
    if (target.kind == NodeKind::kTuple) {
      const std::vector<Value> items = iterate(c_.meter, value);
      if (items.size() != target.parts.size()) {
        fail("expected ", std::to_string(target.parts.size()), " values to assign, found ",
             std::to_string(items.size()));
      }
      for (size_t i = 0; i < items.size(); ++i) assign(*target.parts[i], items[i], scope);
    } else if (target.kind == NodeKind::kNamespaceSet) {
      const Value* space = variable(target.names[0], scope);
      if (space == nullptr || !space->is(Kind::kNamespace)) fail("cannot assign attribute on non-namespace object");
      if (target.names[1].starts_with('_')) fail("namespace: expected a name without '_' at its beginning");
      auto& items = space->space().items;
      c_.meter.step(items.size() / 8 + 1);
      for (auto& [name, old] : items) {
        if (name != target.names[1]) continue;
        old = value;
        return;
      }
      items.emplace_back(target.names[1], value);
    } else {
      scope->variables.insert_or_assign(target.name, value);
    }
  }

  Flow loop(const Node& node, const ScopePtr& scope, std::string& out, Meter& meter, size_t depth, const Value& items) {
    auto state = std::make_shared<Loop>();
    state->items = iterate(meter, items);
    state->depth0 = depth;
    const Node* condition = node.parts[2].get();
    if (condition != nullptr) {
      state->accepts = [this, &node, &scope, condition](const Value& item) {
        const ScopePtr inner = scope_in(scope);
        assign(*node.parts[0], item, inner);
        return is_true(evaluate(*condition, inner));
      };
    }
    if (node.flag) {
      state->recurse = [this, &node, scope, depth](Context&, Call& call) {
        if (call.args.size() != 1 || !call.named.empty()) fail("loop: expected one argument");
        std::string text;
        loop(node, scope, text, c_.meter, depth + 1, call.args[0]);
        return c_.text(std::move(text));
      };
    }
    struct Closing {  // what refers to this call or to the loop itself
      Loop& loop;
      ~Closing() {
        loop.accepts = nullptr;
        loop.changed.reset();
      }
    } closing{*state};
    bool any = false;
    for (; state->more(); any = true) {
      if (any) ++state->index0;
      state->before = std::exchange(state->current, state->ahead.front());
      state->ahead.pop_front();
      const ScopePtr inner = scope_in(scope);
      inner->variables.insert_or_assign("loop", Value(Kind::kLoop, state));
      assign(*node.parts[0], *state->current, inner);
      if (execute(node.bodies[0], inner, out) == Flow::kBreak) {
        any = true;
        break;
      }
    }
    if (!any && node.bodies.size() > 1) execute(node.bodies[1], scope_in(scope), out);
    return Flow::kNext;
  }

  // A function for a macro or for the body of a call block.
  Value macro(const Node& node, const ScopePtr& scope) {
    c_.meter.step(10);
    captured_.push_back(scope);
    return make_function(node.name,
                         [this, &node, scope](Context&, Call& call) { return run_macro(node, scope, call); });
  }

  Value run_macro(const Node& node, const ScopePtr& defined_in, Call& call) {
    const uint32_t line = line_;
    const ScopePtr scope = scope_in(defined_in);
    const size_t count = node.names.size(), defaults = node.args.size();
    std::vector<std::pair<Value, Value>> rest;
    std::vector<Value> given(count, Value::missing());
    Value caller = make_undefined("no caller is defined");
    for (size_t i = 0; i < std::min(count, call.args.size()); ++i) given[i] = call.args[i];
    for (auto& [name, value] : call.named) {
      const auto at = static_cast<size_t>(std::find(node.names.begin(), node.names.end(), name) - node.names.begin());
      if (at < count) {
        if (!given[at].is(Kind::kMissing)) fail(node.name.c_str(), ": argument '", name, "' is given twice");
        given[at] = value;
      } else if (name == "caller" && node.uses_caller) {
        caller = value;
      } else if (node.uses_kwargs) {
        rest.emplace_back(c_.text(name), value);
      } else {
        fail(node.name.c_str(), ": unknown argument '", name, "'");
      }
    }
    if (call.args.size() > count && !node.uses_varargs) {
      fail(node.name.c_str(), ": expected at most ", std::to_string(count), " arguments, found ",
           std::to_string(call.args.size()));
    }
    if (node.uses_varargs) {
      const auto first = call.args.begin() + static_cast<std::ptrdiff_t>(std::min(count, call.args.size()));
      scope->variables["varargs"] = make_sequence(c_.meter, Kind::kTuple, {first, call.args.end()});
    }
    if (node.uses_kwargs) scope->variables["kwargs"] = make_dict(c_.meter, std::move(rest));
    if (node.uses_caller) scope->variables["caller"] = caller;
    for (size_t i = 0; i < count; ++i) {
      if (given[i].is(Kind::kMissing)) {
        given[i] = i + defaults < count ? make_undefined("parameter '" + node.names[i] + "' was not provided")
                                        : evaluate(*node.args[i + defaults - count], scope);
      }
      scope->variables.insert_or_assign(node.names[i], given[i]);
    }
    std::string out;
    execute(node.bodies[0], scope, out);
    line_ = line;
    return c_.text(std::move(out));
  }

  // ---- Expressions.

  const Value* variable(std::string_view name, const ScopePtr& scope) const {
    if (const Value* found = scope->find(name)) return found;
    const auto it = variables_.find(std::string(name));
    return it == variables_.end() ? nullptr : &it->second;
  }

  Value evaluate(const Node& node, const ScopePtr& scope) {
    const Depth guard(c_);
    c_.meter.step();
    const auto part = [&](size_t i) { return evaluate(*node.parts[i], scope); };
    switch (node.kind) {
      case NodeKind::kConst:
        return node.value;
      case NodeKind::kName: {
        if (const Value* found = variable(node.name, scope)) return *found;
        return global(c_, node.name);
      }
      case NodeKind::kTuple:
        return make_sequence(c_.meter, Kind::kTuple, all(node.parts, scope));
      case NodeKind::kList:
        return make_sequence(c_.meter, Kind::kList, all(node.parts, scope));
      case NodeKind::kDict: {
        std::vector<std::pair<Value, Value>> items;
        for (size_t i = 0; i < node.parts.size(); i += 2) {
          Value key = part(i);
          items.emplace_back(std::move(key), part(i + 1));
        }
        return make_dict(c_.meter, std::move(items));
      }
      case NodeKind::kIf:
        if (is_true(part(0))) return part(1);
        return node.parts[2] != nullptr ? part(2) : make_undefined("an inline if without else was false");
      case NodeKind::kOr: {
        Value left = part(0);
        return is_true(left) ? left : part(1);
      }
      case NodeKind::kAnd: {
        Value left = part(0);
        return is_true(left) ? part(1) : left;
      }
      case NodeKind::kNot:
        return Value(!is_true(part(0)));
      case NodeKind::kCompare:
        return comparison(node, scope);
      case NodeKind::kBinary: {
        const Value left = part(0);
        return binary(c_, node.name, left, part(1));
      }
      case NodeKind::kConcat: {
        std::string text;
        for (size_t i = 0; i < node.parts.size(); ++i) text += to_str(c_.meter, part(i));
        return c_.text(std::move(text));
      }
      case NodeKind::kNegative:
        return binary(c_, "-", Value(int64_t{0}), part(0));
      case NodeKind::kPositive:
        return binary(c_, "+", Value(int64_t{0}), part(0));
      case NodeKind::kAttribute:
        return get_attribute(c_, part(0), node.name);
      case NodeKind::kItem:
        return item(node, scope);
      case NodeKind::kCall:
        return evaluate_call(node, scope, nullptr);
      case NodeKind::kFilter:
        return apply_filter(node, scope, nullptr);
      case NodeKind::kTest: {
        const Value input = part(0);
        Call call = arguments(node, scope);
        return Value(c_.test(node.name, input, call));
      }
      default:
        fail("expected an expression");
    }
  }

  std::vector<Value> all(const std::vector<NodePtr>& nodes, const ScopePtr& scope) {
    std::vector<Value> out;
    for (const NodePtr& node : nodes) out.push_back(evaluate(*node, scope));
    return out;
  }

  Value comparison(const Node& node, const ScopePtr& scope) {
    Value left = evaluate(*node.parts[0], scope);
    for (size_t i = 0; i < node.names.size(); ++i) {
      Value right = evaluate(*node.parts[i + 1], scope);
      if (!compare(c_, node.names[i], left, right)) return Value(false);
      left = std::move(right);
    }
    return Value(true);
  }

  Value item(const Node& node, const ScopePtr& scope) {
    const Value object = evaluate(*node.parts[0], scope);
    const Node& key = *node.parts[1];
    if (key.kind != NodeKind::kSlice) return get_item(c_, object, evaluate(key, scope));
    const auto part = [&](size_t i) {
      return key.parts[i] == nullptr ? Value::none() : evaluate(*key.parts[i], scope);
    };
    const Value start = part(0), stop = part(1);
    return slice(c_, object, start, stop, part(2));
  }

  Call arguments(const Node& node, const ScopePtr& scope) {
    Call call;
    call.args = all(node.args, scope);
    for (const auto& [name, part] : node.named) call.named.emplace_back(name, evaluate(*part, scope));
    if (node.star != nullptr) {
      for (Value& v : iterate(c_.meter, evaluate(*node.star, scope))) call.args.push_back(std::move(v));
    }
    if (node.star_star != nullptr) {
      const Value dict = evaluate(*node.star_star, scope);
      if (!dict.is(Kind::kDict)) fail("expected a dict behind '**', found ", std::string(type_name(dict)));
      c_.meter.step(dict.dict().items.size());
      for (const auto& [key, value] : dict.dict().items) {
        call.named.emplace_back(text_argument(key, "name of an argument"), value);
      }
    }
    return call;
  }

  Value evaluate_call(const Node& node, const ScopePtr& scope, const Value* caller) {
    const Value function = evaluate(*node.parts[0], scope);
    Call call = arguments(node, scope);
    if (caller != nullptr) call.named.emplace_back("caller", *caller);
    line_ = node.line;
    return c_.call(function, call);
  }

  // `text`: what a block filter works on.
  Value apply_filter(const Node& node, const ScopePtr& scope, const Value* text) {
    const Depth guard(c_);
    const Node* inner = node.parts[0].get();
    const Value input = inner == nullptr                   ? *text
                        : inner->kind == NodeKind::kFilter ? apply_filter(*inner, scope, text)
                                                           : evaluate(*inner, scope);
    Call call = arguments(node, scope);
    return c_.filter(node.name, input, call);
  }

  Context& c_;
  std::unordered_map<std::string, Value> variables_;
  std::vector<ScopePtr> captured_;
  uint32_t line_ = 0;
};

}  // namespace

Value loop_attribute(Context& context, const Value& v, const std::string& name) {
  Loop& loop = v.loop();
  const auto number = [](size_t n) { return Value(static_cast<int64_t>(n)); };
  if (name == "index0") return number(loop.index0);
  if (name == "index") return number(loop.index0 + 1);
  if (name == "first") return Value(loop.index0 == 0);
  if (name == "last") return Value(!loop.more());
  if (name == "length") return number(loop.length());
  if (name == "revindex") return number(loop.length() - loop.index0);
  if (name == "revindex0") return number(loop.length() - loop.index0 - 1);
  if (name == "depth0") return number(loop.depth0);
  if (name == "depth") return number(loop.depth0 + 1);
  if (name == "previtem") return loop.before ? *loop.before : make_undefined("there is no previous item");
  if (name == "nextitem") return loop.more() ? loop.ahead.front() : make_undefined("there is no next item");
  if (name.empty()) {
    if (!loop.recurse) fail("the loop is not recursive");
    return make_function("loop", loop.recurse);
  }
  if (name == "cycle") {
    return make_function("cycle", [v](Context&, Call& call) {
      if (call.args.empty()) fail("no items for cycling given");
      return call.args[v.loop().index0 % call.args.size()];
    });
  }
  if (name == "changed") {
    return make_function("changed", [v](Context& c, Call& call) {
      const Value now = make_sequence(c.meter, Kind::kTuple, call.args);
      const bool same = v.loop().changed && equal(c.meter, *v.loop().changed, now);
      v.loop().changed = now;
      return Value(!same);
    });
  }
  context.meter.step();
  return Value::missing();
}

Loop& Value::loop() const { return *static_cast<Loop*>(object.get()); }

Template::Template(std::string_view source) {
  Meter meter(source.size() + 100, 4 * source.size() + 4096);
  body_ = parse(source, meter);
}

std::string Template::render(std::vector<std::pair<std::string, Value>> variables, Context& context) const {
  return Interpreter(context, std::move(variables)).run(body_);
}

}  // namespace occ::jinja
