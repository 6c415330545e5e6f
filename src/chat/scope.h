// Variables while a template runs, and the state of its loops.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "chat/value.h"

namespace occ::jinja {

// The bodies of loops, macros and blocks have a scope of their own, and see the variables of those around them.
struct Scope {
  std::unordered_map<std::string_view, Value> variables;
  std::shared_ptr<Scope> parent;

  const Value* find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent.get()) {
      const auto it = scope->variables.find(name);
      if (it != scope->variables.end()) return &it->second;
    }
    return nullptr;
  }
};
using ScopePtr = std::shared_ptr<Scope>;

// The variable `loop`. Items are taken as late as jinja2 takes them, because a condition of the loop may depend on what
// its body has done.
struct Loop {
  std::vector<Value> items;
  size_t taken = 0;                           // of items
  std::function<bool(const Value&)> accepts;  // the condition of the loop; may be empty
  std::deque<Value> ahead;                    // accepted, but not reached yet
  std::optional<Value> before, current, changed;
  size_t index0 = 0, depth0 = 0;
  std::function<Value(Context&, Call&)> recurse;  // loop(items); may be empty

  bool pull() {  // one more item into `ahead`
    while (taken < items.size()) {
      const Value& item = items[taken++];
      if (accepts && !accepts(item)) continue;
      ahead.push_back(item);
      return true;
    }
    return false;
  }
  bool more() { return !ahead.empty() || pull(); }
  size_t length() {
    if (!accepts) return items.size();
    while (pull()) {
    }
    return index0 + 1 + ahead.size();
  }
};

}  // namespace occ::jinja
