// The part of the parser that reads expressions; parser.cc reads statements.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/ast.h"
#include "chat/lexer.h"
#include "chat/parser.h"

namespace occ::jinja {

class ExpressionParser {
 public:
  ExpressionParser(std::vector<Token> tokens, Meter& meter) : tokens_(std::move(tokens)), meter_(meter) {}

 protected:
  // Counts nested calls of the parser, which must not use up the stack.
  class Nesting {
   public:
    explicit Nesting(ExpressionParser& parser) : parser_(parser) {
      if (++parser_.nesting_ > kMaxNodeDepth) parser_.wrong("expected less nesting");
    }
    ~Nesting() { --parser_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    ExpressionParser& parser_;
  };

  [[noreturn]] void wrong(const std::string& message) const;
  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  void next() {
    if (at_ + 1 < tokens_.size()) ++at_;
  }
  bool at_name(std::string_view name) const { return current().kind == TokenKind::kName && current().text == name; }
  bool at_operator(std::string_view op) const { return current().kind == TokenKind::kOperator && current().text == op; }
  bool take_name(std::string_view name);
  bool take_operator(std::string_view op);
  void expect(TokenKind kind, const char* what);
  void expect_name(std::string_view name);
  void expect_operator(std::string_view op);
  std::string plain_name();
  Meter& meter() { return meter_; }

  NodePtr make(NodeKind kind) const;
  NodePtr constant(Value value) const;
  NodePtr finish(NodePtr node) const;  // sets the depth of a node whose parts are complete

  NodePtr expression(bool conditional = true);
  // One or more expressions with commas between them.
  NodePtr tuple(bool conditional = true, std::string_view end = "", bool in_parentheses = false);
  // What a value can be assigned to: a name, a tuple of targets, or (`spaces`) an attribute of a namespace.
  NodePtr target(std::string_view end, bool spaces = false);
  // Filters behind `input`; with `bare` the first has no '|'.
  NodePtr filters(NodePtr input, bool bare = false);

  std::vector<Node*> macros_;  // around the current place

 private:
  using Rule = NodePtr (ExpressionParser::*)();
  NodePtr single_target(bool spaces);
  bool at_tuple_end(std::string_view end) const;
  NodePtr list_of(NodeKind kind, Rule operand, std::string_view word);
  NodePtr chain(Rule operand, std::initializer_list<std::string_view> ops);
  NodePtr alternatives();
  NodePtr conjunction();
  NodePtr negation();
  NodePtr comparison();
  NodePtr sum();
  NodePtr concat();
  NodePtr product();
  NodePtr power();
  NodePtr unary_with_filters() { return unary(true); }
  NodePtr unary(bool with_filters);
  NodePtr primary();
  NodePtr dict();
  NodePtr list();
  NodePtr postfix(NodePtr node);
  NodePtr subscript(NodePtr node);
  NodePtr subscribed();
  NodePtr call(NodePtr node);
  NodePtr test(NodePtr node);
  std::string dotted_name();
  void arguments(Node& node);
  void note_name(const std::string& name);

  std::vector<Token> tokens_;
  Meter& meter_;
  size_t at_ = 0, nesting_ = 0;
};

}  // namespace occ::jinja
