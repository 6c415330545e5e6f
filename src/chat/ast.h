// The syntax tree of a template.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "chat/value.h"

namespace occ::jinja {

enum class NodeKind : uint8_t {
  // Expressions. `parts` holds the operands from left to right; what else a kind has is said behind it.
  kConst,  // value
  kName,   // name
  kTuple,
  kList,
  kDict,  // key, value, key, value, ...
  kIf,    // condition, value, value otherwise (may be null)
  kOr,
  kAnd,
  kNot,
  kCompare,  // names: the operators between the operands
  kBinary,   // name: the operator
  kConcat,
  kNegative,
  kPositive,
  kAttribute,  // object; name
  kItem,       // object, key
  kSlice,      // start, stop, step; each may be null
  kCall,       // function; arguments
  kFilter,     // input, null for the text of a block; name, arguments
  kTest,       // input; name, arguments
  // Statements.
  kOutput,       // expressions and constants to print
  kFor,          // target, items, condition (may be null); bodies: loop, else; flag: recursive
  kBranches,     // conditions; bodies: one for each condition, and one for else
  kSet,          // target, value
  kSetBlock,     // target, filter (may be null); bodies: one
  kMacro,        // a Signature; bodies: one
  kCallBlock,    // the call; a Signature; bodies: one
  kFilterBlock,  // filter; bodies: one
  kWith,         // target, value, target, value, ...; bodies: one
  kScope,        // block or generation; bodies: one
  kBreak,
  kContinue,
  kNoTemplate,   // include, import, extends: there are no other templates
  kNamespaceSet  // a target: names: namespace and attribute
};

struct Node;
using NodePtr = std::unique_ptr<Node>;

struct Node {
  NodeKind kind = NodeKind::kConst;
  uint32_t line = 0;
  size_t depth = 1;  // of the tree below
  std::string name;
  Value value;
  std::vector<NodePtr> parts;
  std::vector<std::string> names;
  // Arguments of calls, filters and tests; defaults of macros are in `args`, those of the last parameters.
  std::vector<NodePtr> args;
  std::vector<std::pair<std::string, NodePtr>> named;
  NodePtr star, star_star;
  std::vector<std::vector<NodePtr>> bodies;
  // Of for: recursive. Of macros: the names that their bodies use without having them as parameters.
  bool flag = false, uses_varargs = false, uses_kwargs = false, uses_caller = false;
};

}  // namespace occ::jinja
