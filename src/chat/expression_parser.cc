#include "chat/expression_parser.h"

#include <algorithm>

namespace occ::jinja {

void ExpressionParser::wrong(const std::string& message) const {
  fail("line ", std::to_string(current().line), ": ", message);
}

bool ExpressionParser::take_name(std::string_view name) {
  if (!at_name(name)) return false;
  next();
  return true;
}
bool ExpressionParser::take_operator(std::string_view op) {
  if (!at_operator(op)) return false;
  next();
  return true;
}
void ExpressionParser::expect(TokenKind kind, const char* what) {
  if (current().kind != kind) wrong("expected " + std::string(what) + ", found '" + current().text + "'");
  next();
}
void ExpressionParser::expect_name(std::string_view name) {
  if (!take_name(name)) wrong("expected '" + std::string(name) + "', found '" + current().text + "'");
}
void ExpressionParser::expect_operator(std::string_view op) {
  if (!take_operator(op)) wrong("expected '" + std::string(op) + "', found '" + current().text + "'");
}
std::string ExpressionParser::plain_name() {
  const std::string name = current().text;
  expect(TokenKind::kName, "a name");
  if (name == "true" || name == "false" || name == "none" || name == "True" || name == "False" || name == "None") {
    wrong("cannot assign to '" + name + "'");
  }
  return name;
}

NodePtr ExpressionParser::make(NodeKind kind) const {
  auto node = std::make_unique<Node>();
  node->kind = kind;
  node->line = current().line;
  return node;
}
NodePtr ExpressionParser::constant(Value value) const {
  NodePtr node = make(NodeKind::kConst);
  node->value = std::move(value);
  return node;
}

NodePtr ExpressionParser::finish(NodePtr node) const {
  const auto below = [&](const NodePtr& part) {
    if (part != nullptr) node->depth = std::max(node->depth, part->depth + 1);
  };
  for (const NodePtr& part : node->parts) below(part);
  for (const NodePtr& part : node->args) below(part);
  for (const auto& [name, part] : node->named) below(part);
  below(node->star);
  below(node->star_star);
  for (const auto& body : node->bodies) {
    for (const NodePtr& part : body) below(part);
  }
  if (node->depth > kMaxNodeDepth) wrong("expected less nesting");
  return node;
}

// Marks the macros in which a special name is used.
void ExpressionParser::note_name(const std::string& name) {
  for (Node* macro : macros_) {
    macro->uses_varargs = macro->uses_varargs || name == "varargs";
    macro->uses_kwargs = macro->uses_kwargs || name == "kwargs";
    macro->uses_caller = macro->uses_caller || name == "caller";
  }
}

NodePtr ExpressionParser::expression(bool conditional) {
  const Nesting nesting(*this);
  if (!conditional) return alternatives();
  NodePtr value = alternatives();
  while (at_name("if")) {
    NodePtr node = make(NodeKind::kIf);
    next();
    node->parts.push_back(alternatives());
    node->parts.push_back(std::move(value));
    node->parts.push_back(take_name("else") ? expression() : nullptr);
    value = finish(std::move(node));
  }
  return value;
}

bool ExpressionParser::at_tuple_end(std::string_view end) const {
  const TokenKind kind = current().kind;
  return kind == TokenKind::kVariableEnd || kind == TokenKind::kBlockEnd || at_operator(")") ||
         (!end.empty() && at_name(end));
}

NodePtr ExpressionParser::tuple(bool conditional, std::string_view end, bool in_parentheses) {
  NodePtr node = make(NodeKind::kTuple);
  bool commas = false;
  while (!at_tuple_end(end)) {
    node->parts.push_back(expression(conditional));
    if (!take_operator(",")) break;
    commas = true;
  }
  if (commas || (node->parts.empty() && in_parentheses)) return finish(std::move(node));
  if (node->parts.empty()) wrong("expected an expression, found '" + current().text + "'");
  return std::move(node->parts[0]);
}

NodePtr ExpressionParser::single_target(bool spaces) {
  const Nesting nesting(*this);
  if (take_operator("(")) {
    NodePtr inner = target(")", spaces);
    expect_operator(")");
    return inner;
  }
  NodePtr node = make(NodeKind::kName);
  node->name = plain_name();
  if (spaces && take_operator(".")) {
    node->kind = NodeKind::kNamespaceSet;
    node->names = {node->name, current().text};
    expect(TokenKind::kName, "a name");
  }
  return node;
}

NodePtr ExpressionParser::target(std::string_view end, bool spaces) {
  NodePtr first = single_target(spaces);
  if (!at_operator(",")) return first;
  NodePtr node = make(NodeKind::kTuple);
  node->parts.push_back(std::move(first));
  while (take_operator(",")) {
    if (at_tuple_end(end) || at_operator("=")) break;
    node->parts.push_back(single_target(spaces));
  }
  return finish(std::move(node));
}

NodePtr ExpressionParser::list_of(NodeKind kind, Rule operand, std::string_view word) {
  NodePtr left = (this->*operand)();
  while (at_name(word)) {
    NodePtr node = make(kind);
    next();
    node->parts.push_back(std::move(left));
    node->parts.push_back((this->*operand)());
    left = finish(std::move(node));
  }
  return left;
}

NodePtr ExpressionParser::alternatives() { return list_of(NodeKind::kOr, &ExpressionParser::conjunction, "or"); }
NodePtr ExpressionParser::conjunction() { return list_of(NodeKind::kAnd, &ExpressionParser::negation, "and"); }

NodePtr ExpressionParser::negation() {
  if (!at_name("not")) return comparison();
  const Nesting nesting(*this);
  NodePtr node = make(NodeKind::kNot);
  next();
  node->parts.push_back(negation());
  return finish(std::move(node));
}

NodePtr ExpressionParser::comparison() {
  NodePtr first = sum();
  NodePtr node;
  while (true) {
    std::string op;
    for (const char* known : {"==", "!=", "<", "<=", ">", ">="}) {
      if (at_operator(known)) op = known;
    }
    if (at_name("in")) op = "in";
    if (at_name("not") && look().kind == TokenKind::kName && look().text == "in") {
      op = "not in";
      next();
    }
    if (op.empty()) break;
    if (node == nullptr) {
      node = make(NodeKind::kCompare);
      node->parts.push_back(std::move(first));
    }
    next();
    node->names.push_back(op);
    node->parts.push_back(sum());
  }
  return node == nullptr ? std::move(first) : finish(std::move(node));
}

NodePtr ExpressionParser::chain(Rule operand, std::initializer_list<std::string_view> ops) {
  NodePtr left = (this->*operand)();
  while (true) {
    const auto op = std::find_if(ops.begin(), ops.end(), [&](std::string_view o) { return at_operator(o); });
    if (op == ops.end()) return left;
    NodePtr node = make(NodeKind::kBinary);
    node->name = *op;
    next();
    node->parts.push_back(std::move(left));
    node->parts.push_back((this->*operand)());
    left = finish(std::move(node));
  }
}

NodePtr ExpressionParser::sum() { return chain(&ExpressionParser::concat, {"+", "-"}); }
NodePtr ExpressionParser::product() { return chain(&ExpressionParser::power, {"*", "/", "//", "%"}); }
NodePtr ExpressionParser::power() { return chain(&ExpressionParser::unary_with_filters, {"**"}); }

NodePtr ExpressionParser::concat() {
  NodePtr first = product();
  if (!at_operator("~")) return first;
  NodePtr node = make(NodeKind::kConcat);
  node->parts.push_back(std::move(first));
  while (take_operator("~")) node->parts.push_back(product());
  return finish(std::move(node));
}

NodePtr ExpressionParser::unary(bool with_filters) {
  const Nesting nesting(*this);
  NodePtr node;
  if (at_operator("-") || at_operator("+")) {
    node = make(at_operator("-") ? NodeKind::kNegative : NodeKind::kPositive);
    next();
    node->parts.push_back(unary(false));
    node = finish(std::move(node));
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  if (!with_filters) return node;
  while (true) {
    if (at_operator("|")) {
      node = filters(std::move(node));
    } else if (at_name("is")) {
      node = test(std::move(node));
    } else if (at_operator("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

NodePtr ExpressionParser::primary() {
  const Token& token = current();
  if (token.kind == TokenKind::kName) {
    const std::string name = token.text;
    NodePtr node = make(NodeKind::kName);
    next();
    if (name == "true" || name == "True") return constant(Value(true));
    if (name == "false" || name == "False") return constant(Value(false));
    if (name == "none" || name == "None") return constant(Value::none());
    note_name(name);
    node->name = name;
    return node;
  }
  if (token.kind == TokenKind::kString) {
    std::string text;
    while (current().kind == TokenKind::kString) {
      text += current().text;
      next();
    }
    return constant(make_text(meter_, std::move(text)));
  }
  if (token.kind == TokenKind::kInteger || token.kind == TokenKind::kFloat) {
    NodePtr node = constant(token.kind == TokenKind::kInteger ? Value(token.integer) : Value(token.real));
    next();
    return node;
  }
  if (take_operator("(")) {
    NodePtr node = tuple(true, "", true);
    expect_operator(")");
    return node;
  }
  if (at_operator("[")) return list();
  if (at_operator("{")) return dict();
  wrong("expected an expression, found '" + token.text + "'");
}

NodePtr ExpressionParser::list() {
  NodePtr node = make(NodeKind::kList);
  next();
  while (!at_operator("]")) {
    node->parts.push_back(expression());
    if (!at_operator("]")) expect_operator(",");
  }
  next();
  return finish(std::move(node));
}

NodePtr ExpressionParser::dict() {
  NodePtr node = make(NodeKind::kDict);
  next();
  while (!at_operator("}")) {
    node->parts.push_back(expression());
    expect_operator(":");
    node->parts.push_back(expression());
    if (!at_operator("}")) expect_operator(",");
  }
  next();
  return finish(std::move(node));
}

NodePtr ExpressionParser::postfix(NodePtr node) {
  while (true) {
    if (at_operator(".") || at_operator("[")) {
      node = subscript(std::move(node));
    } else if (at_operator("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

NodePtr ExpressionParser::subscript(NodePtr object) {
  NodePtr node = make(NodeKind::kItem);
  node->parts.push_back(std::move(object));
  if (take_operator(".")) {
    if (current().kind == TokenKind::kInteger) {
      node->parts.push_back(constant(Value(current().integer)));
      next();
    } else {
      node->kind = NodeKind::kAttribute;
      node->name = current().text;
      expect(TokenKind::kName, "a name or a number");
    }
    return finish(std::move(node));
  }
  next();
  NodePtr keys = make(NodeKind::kTuple);
  while (!at_operator("]")) {
    if (!keys->parts.empty()) expect_operator(",");
    keys->parts.push_back(subscribed());
  }
  next();
  const bool one = keys->parts.size() == 1;
  node->parts.push_back(one ? std::move(keys->parts[0]) : finish(std::move(keys)));
  return finish(std::move(node));
}

NodePtr ExpressionParser::subscribed() {
  NodePtr node = make(NodeKind::kSlice);
  NodePtr start;
  if (!at_operator(":")) {
    start = expression();
    if (!at_operator(":")) return start;
  }
  next();
  const auto part = [&] { return at_operator(":") || at_operator("]") || at_operator(",") ? nullptr : expression(); };
  node->parts.push_back(std::move(start));
  node->parts.push_back(part());
  node->parts.push_back(take_operator(":") ? part() : nullptr);
  return finish(std::move(node));
}

void ExpressionParser::arguments(Node& node) {
  expect_operator("(");
  bool first = true;
  while (!at_operator(")")) {
    if (!first) expect_operator(",");
    first = false;
    if (at_operator(")")) break;
    if (take_operator("*")) {
      if (node.star != nullptr || node.star_star != nullptr) wrong("expected one '*'");
      node.star = expression();
    } else if (take_operator("**")) {
      if (node.star_star != nullptr) wrong("expected one '**'");
      node.star_star = expression();
    } else if (current().kind == TokenKind::kName && look().kind == TokenKind::kOperator && look().text == "=") {
      if (node.star_star != nullptr) wrong("expected no argument behind '**'");
      std::string name = current().text;
      next();
      next();
      node.named.emplace_back(std::move(name), expression());
    } else {
      if (node.star != nullptr || node.star_star != nullptr || !node.named.empty()) {
        wrong("expected no positional argument behind others");
      }
      node.args.push_back(expression());
    }
  }
  next();
}

NodePtr ExpressionParser::call(NodePtr function) {
  NodePtr node = make(NodeKind::kCall);
  node->parts.push_back(std::move(function));
  arguments(*node);
  return finish(std::move(node));
}

std::string ExpressionParser::dotted_name() {
  std::string name = current().text;
  expect(TokenKind::kName, "a name");
  while (take_operator(".")) {
    name += "." + current().text;
    expect(TokenKind::kName, "a name");
  }
  return name;
}

NodePtr ExpressionParser::filters(NodePtr input, bool bare) {
  while (bare || at_operator("|")) {
    if (!bare) next();
    bare = false;
    NodePtr node = make(NodeKind::kFilter);
    node->name = dotted_name();
    node->parts.push_back(std::move(input));
    if (at_operator("(")) arguments(*node);
    input = finish(std::move(node));
  }
  return input;
}

NodePtr ExpressionParser::test(NodePtr input) {
  next();
  const bool negated = take_name("not");
  NodePtr node = make(NodeKind::kTest);
  node->name = dotted_name();
  node->parts.push_back(std::move(input));
  const TokenKind kind = current().kind;
  if (at_operator("(")) {
    arguments(*node);
  } else if ((kind == TokenKind::kName && !at_name("else") && !at_name("or") && !at_name("and")) ||
             kind == TokenKind::kString || kind == TokenKind::kInteger || kind == TokenKind::kFloat ||
             at_operator("[") || at_operator("{")) {
    if (at_name("is")) wrong("tests cannot be chained with 'is'");
    node->args.push_back(postfix(primary()));
  }
  node = finish(std::move(node));
  if (!negated) return node;
  NodePtr outer = make(NodeKind::kNot);
  outer->parts.push_back(std::move(node));
  return finish(std::move(outer));
}

}  // namespace occ::jinja
