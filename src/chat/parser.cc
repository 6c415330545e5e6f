#include "chat/parser.h"

#include <algorithm>
#include <initializer_list>

#include "chat/builtins.h"
#include "chat/expression_parser.h"

namespace occ::jinja {
namespace {

using Body = std::vector<NodePtr>;

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Body run() {
    Body body = statements({});
    if (current().kind != TokenKind::kEnd) wrong("unexpected end tag");
    return body;
  }

 private:
  // Statements until a tag that begins with one of `ends`, which is left to be read, or the end of the template.
  Body statements(std::initializer_list<std::string_view> ends) {
    const Nesting nesting(*this);
    Body body;
    NodePtr output;
    const auto flush = [&] {
      if (output != nullptr) body.push_back(finish(std::move(output)));
    };
    while (current().kind != TokenKind::kEnd) {
      if (current().kind == TokenKind::kBlockBegin) {
        flush();
        next();
        if (std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return at_name(end); })) return body;
        body.push_back(statement());
        expect(TokenKind::kBlockEnd, "the end of the tag");
        continue;
      }
      if (output == nullptr) output = make(NodeKind::kOutput);
      if (current().kind == TokenKind::kData) {
        output->parts.push_back(constant(make_text(meter(), current().text)));
        next();
      } else {
        expect(TokenKind::kVariableBegin, "a tag");
        output->parts.push_back(tuple());
        expect(TokenKind::kVariableEnd, "the end of the tag");
      }
    }
    flush();
    if (ends.size() > 0) wrong("expected '" + std::string(*(ends.end() - 1)) + "', found the end of the template");
    return body;
  }

  // The rest of a tag, and what follows until one of `ends`.
  Body body_until(std::initializer_list<std::string_view> ends) {
    take_operator(":");
    expect(TokenKind::kBlockEnd, "the end of the tag");
    return statements(ends);
  }
  Body whole_body(std::string_view end) {
    Body body = body_until({end});
    next();
    return body;
  }

  NodePtr statement() {
    if (current().kind != TokenKind::kName) wrong("expected the name of a tag");
    const std::string tag = current().text;
    if (tag == "for") return for_loop();
    if (tag == "if") return branches();
    if (tag == "set") return set();
    if (tag == "macro") return macro();
    if (tag == "call") return call_block();
    if (tag == "filter") return filter_block();
    if (tag == "with") return with();
    if (tag == "print") return print();
    if (tag == "generation" || tag == "block") return scope(tag);
    if (tag == "break" || tag == "continue") {
      NodePtr node = make(tag == "break" ? NodeKind::kBreak : NodeKind::kContinue);
      if (loops_ == 0) wrong("'" + tag + "' outside of a loop");
      next();
      return finish(std::move(node));
    }
    if (tag == "include" || tag == "import" || tag == "extends" || tag == "from") {
      NodePtr node = make(NodeKind::kNoTemplate);
      node->name = tag;
      while (current().kind != TokenKind::kBlockEnd && current().kind != TokenKind::kEnd) next();
      return node;
    }
    wrong("unknown tag '" + tag + "'");
  }

  NodePtr for_loop() {
    NodePtr node = make(NodeKind::kFor);
    next();
    node->parts.push_back(target("in"));
    expect_name("in");
    node->parts.push_back(tuple(false, "recursive"));
    node->parts.push_back(take_name("if") ? expression() : nullptr);
    node->flag = take_name("recursive");
    ++loops_;
    node->bodies.push_back(body_until({"else", "endfor"}));
    --loops_;
    if (at_name("else")) {
      next();
      node->bodies.push_back(body_until({"endfor"}));
    }
    next();
    return finish(std::move(node));
  }

  NodePtr branches() {
    NodePtr node = make(NodeKind::kBranches);
    while (true) {
      next();
      node->parts.push_back(tuple(false));
      node->bodies.push_back(body_until({"elif", "else", "endif"}));
      if (!at_name("elif")) break;
    }
    if (at_name("else")) {
      next();
      node->bodies.push_back(body_until({"endif"}));
    }
    next();
    return finish(std::move(node));
  }

  NodePtr set() {
    NodePtr node = make(NodeKind::kSet);
    next();
    node->parts.push_back(target("", true));
    if (take_operator("=")) {
      node->parts.push_back(tuple());
      return finish(std::move(node));
    }
    node->kind = NodeKind::kSetBlock;
    node->parts.push_back(at_operator("|") ? filters(nullptr) : nullptr);
    node->bodies.push_back(whole_body("endset"));
    return finish(std::move(node));
  }

  void signature(Node& node) {
    expect_operator("(");
    while (!at_operator(")")) {
      if (!node.names.empty()) expect_operator(",");
      node.names.push_back(plain_name());
      if (take_operator("=")) {
        node.args.push_back(expression());
      } else if (!node.args.empty()) {
        wrong("expected a default for every parameter after one that has one");
      }
    }
    next();
  }

  void macro_body(Node& node, std::string_view end) {
    macros_.push_back(&node);
    const size_t loops = std::exchange(loops_, 0);
    node.bodies.push_back(whole_body(end));
    loops_ = loops;
    macros_.pop_back();
  }

  NodePtr macro() {
    NodePtr node = make(NodeKind::kMacro);
    next();
    node->name = plain_name();
    signature(*node);
    macro_body(*node, "endmacro");
    return finish(std::move(node));
  }

  NodePtr call_block() {
    NodePtr node = make(NodeKind::kCallBlock);
    next();
    node->name = "caller";
    if (at_operator("(")) signature(*node);
    node->parts.push_back(expression());
    if (node->parts[0]->kind != NodeKind::kCall) wrong("expected a call");
    macro_body(*node, "endcall");
    return finish(std::move(node));
  }

  NodePtr filter_block() {
    NodePtr node = make(NodeKind::kFilterBlock);
    next();
    node->parts.push_back(filters(nullptr, true));
    node->bodies.push_back(whole_body("endfilter"));
    return finish(std::move(node));
  }

  NodePtr with() {
    NodePtr node = make(NodeKind::kWith);
    next();
    while (current().kind != TokenKind::kBlockEnd) {
      if (!node->parts.empty()) expect_operator(",");
      node->parts.push_back(target(""));
      expect_operator("=");
      node->parts.push_back(expression());
    }
    node->bodies.push_back(whole_body("endwith"));
    return finish(std::move(node));
  }

  NodePtr print() {
    NodePtr node = make(NodeKind::kOutput);
    next();
    while (current().kind != TokenKind::kBlockEnd) {
      if (!node->parts.empty()) expect_operator(",");
      node->parts.push_back(expression());
    }
    return finish(std::move(node));
  }

  NodePtr scope(const std::string& tag) {
    NodePtr node = make(NodeKind::kScope);
    next();
    std::string name;
    if (tag == "block") {
      name = plain_name();
      while (take_name("scoped") || take_name("required")) {
      }
    }
    node->bodies.push_back(whole_body(tag == "block" ? "endblock" : "endgeneration"));
    if (tag == "block") take_name(name);
    return finish(std::move(node));
  }

  size_t loops_ = 0;  // around the current statement
};

// An unknown filter or test is an error of the whole template, but where a condition decides whether it is reached
// (`soft`) only when it is; the bodies of loops and macros are whole again.
void check_names(const Node* node, bool soft) {
  if (node == nullptr) return;
  const char* what = node->kind == NodeKind::kFilter ? "filter" : "test";
  const bool known = node->kind == NodeKind::kFilter
                         ? find_filter(node->name) != nullptr
                         : node->kind != NodeKind::kTest || find_test(node->name) != nullptr;
  if (!known && !soft)
    fail("line ", std::to_string(node->line), ": no ", std::string(what), " named '", node->name, "'");
  const bool branches = node->kind == NodeKind::kIf || node->kind == NodeKind::kBranches;
  for (const NodePtr& part : node->parts) check_names(part.get(), soft || branches);
  for (const NodePtr& part : node->args) check_names(part.get(), soft);
  for (const auto& [name, part] : node->named) check_names(part.get(), soft);
  check_names(node->star.get(), soft);
  check_names(node->star_star.get(), soft);
  for (const Body& body : node->bodies) {
    for (const NodePtr& part : body) check_names(part.get(), branches);
  }
}

}  // namespace

std::vector<NodePtr> parse(std::string_view source, Meter& meter) {
  Body body = Parser(tokenize(source), meter).run();
  for (const NodePtr& node : body) check_names(node.get(), false);
  return body;
}

}  // namespace occ::jinja
