#include "recipe/recipe.h"

#include <algorithm>
#include <cctype>
#include <span>

#include "base/error.h"
#include "entropy/coder.h"
#include "quantization/quantizer.h"
#include "transforms/transform.h"

namespace occ {
namespace {

constexpr int kMaxStages = 256;  // limit, because more stages would only cost time
constexpr int kMaxDepth = 16;    // limit for nested braces, so that a hostile text cannot exhaust the stack

std::span<const ParamSpec> stage_params(std::string_view name) {
  if (const auto* t = find_transform(name)) return t->params;
  if (const auto* q = find_quantizer(name)) return q->params;
  if (const auto* c = find_coder(name)) return c->params;
  throw_usage("recipe: there is no stage '{}', see 'occ methods'", name);
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Recipe parse() {
    Recipe recipe = parse_recipe(0);
    if (!at_end()) fail("the end, '>' or '+'");
    return recipe;
  }

  // Parses name(key=value, ...), which must be the whole text.
  std::pair<std::string, Params::Given> parse_single_call() {
    auto call = parse_call();
    skip_space();
    if (!at_end()) fail("the end");
    return call;
  }

 private:
  Recipe parse_recipe(int depth) {
    if (depth > kMaxDepth) throw_usage("recipe: nested more than {} deep", kMaxDepth);
    Recipe recipe;
    do recipe.terms.push_back(parse_chain(depth));
    while (accept('+'));
    return recipe;
  }

  Chain parse_chain(int depth) {
    Chain chain;
    do {
      if (accept('{')) {
        do {
          const std::string name = parse_name();
          if (!accept(':')) fail("':' after a branch name");
          chain.branches.push_back({name, parse_recipe(depth + 1)});
        } while (accept(';'));
        if (!accept('}')) fail("'}' or ';'");
        break;
      }
      chain.stages.push_back(parse_stage());
    } while (accept('>'));
    return chain;
  }

  Stage parse_stage() {
    if (++stages_ > kMaxStages) throw_usage("recipe: expected at most {} stages, found more", kMaxStages);
    auto [name, given] = parse_call();
    return {name, Params(stage_params(name), given, name)};
  }

  std::pair<std::string, Params::Given> parse_call() {
    std::string name = parse_name();
    Params::Given given;
    if (accept('(') && !accept(')')) {
      do {
        std::string key = parse_name();
        if (!accept('=')) fail("'=' after a parameter name");
        given.emplace_back(std::move(key), parse_value());
      } while (accept(','));
      if (!accept(')')) fail("')' or ','");
    }
    skip_space();
    return {std::move(name), std::move(given)};
  }

  std::string parse_name() {
    skip_space();
    const size_t start = at_;
    while (!at_end() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_')) ++at_;
    if (at_ == start) fail("a name");
    return std::string(text_.substr(start, at_ - start));
  }
  std::string parse_value() {
    skip_space();
    const size_t start = at_;
    while (!at_end() && std::string_view(",(){};:> \t\n").find(text_[at_]) == std::string_view::npos) ++at_;
    if (at_ == start) fail("a value");
    return std::string(text_.substr(start, at_ - start));
  }

  void skip_space() {
    while (!at_end() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  bool accept(char c) {
    skip_space();
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    skip_space();
    return true;
  }
  bool at_end() const { return at_ == text_.size(); }
  [[noreturn]] void fail(std::string_view expected) const {
    throw_usage("recipe: expected {} at character {}, found '{}'", expected, at_ + 1, text_.substr(at_, 20));
  }

  std::string_view text_;
  size_t at_ = 0;
  int stages_ = 0;
};

std::string names_of(std::span<const std::string_view> names) {
  std::string out;
  for (const std::string_view n : names) out += (out.empty() ? "" : ", ") + std::string(n);
  return out;
}

void check_branches(const Chain& chain, std::string_view stage, std::span<const std::string_view> planes) {
  bool same = chain.branches.size() == planes.size();
  for (size_t i = 0; same && i < planes.size(); ++i) same = chain.branches[i].name == planes[i];
  if (!same) {
    throw_usage("recipe: after '{}' expected {{ one branch for each of: {} }} in this order", stage, names_of(planes));
  }
}

void check(const Recipe& recipe);

// Checks that the branch consists of exactly one coder.
void check_coder(const Recipe& recipe, std::string_view plane) {
  const bool ok = recipe.terms.size() == 1 && recipe.terms[0].branches.empty() && recipe.terms[0].stages.size() == 1 &&
                  find_coder(recipe.terms[0].stages[0].name) != nullptr;
  if (!ok) throw_usage("recipe: symbol plane '{}' expects one coder, such as 'rans'", plane);
}

void check(const Chain& chain) {
  for (size_t i = 0; i < chain.stages.size(); ++i) {
    const std::string& name = chain.stages[i].name;
    const bool last = i + 1 == chain.stages.size();
    if (const auto* transform = find_transform(name)) {
      if (transform->planes.empty() && !last) continue;
      if (transform->planes.empty()) throw_usage("recipe: '{}' is a transform, expected a quantizer after it", name);
      if (!last) throw_usage("recipe: '{}' splits, expected {{ branches }} right after it", name);
      check_branches(chain, name, transform->planes);
      for (const Branch& b : chain.branches) check(b.recipe);
      return;
    }
    if (const auto* quantizer = find_quantizer(name)) {
      if (last && !chain.branches.empty()) {
        check_branches(chain, name, quantizer->planes);
        for (const Branch& b : chain.branches) check_coder(b.recipe, b.name);
        return;
      }
      if (i + 2 == chain.stages.size() && chain.branches.empty() && find_coder(chain.stages[i + 1].name) != nullptr) {
        return;
      }
      throw_usage("recipe: after the quantizer '{}' expected one coder, such as '{} > rans'", name, name);
    }
    throw_usage("recipe: the coder '{}' must follow a quantizer", name);
  }
  throw_usage("recipe: a chain needs a quantizer and a coder, such as 'uniform > bitpack'");
}

void check(const Recipe& recipe) {
  for (const Chain& chain : recipe.terms) check(chain);
}

void print_to(const Recipe& recipe, std::string* out) {
  for (size_t t = 0; t < recipe.terms.size(); ++t) {
    if (t > 0) *out += " + ";
    const Chain& chain = recipe.terms[t];
    for (size_t i = 0; i < chain.stages.size(); ++i) {
      if (i > 0) *out += " > ";
      *out += chain.stages[i].name + chain.stages[i].params.print();
    }
    if (chain.branches.empty()) continue;
    *out += " > { ";
    for (size_t b = 0; b < chain.branches.size(); ++b) {
      if (b > 0) *out += " ; ";
      *out += chain.branches[b].name + ": ";
      print_to(chain.branches[b].recipe, out);
    }
    *out += " }";
  }
}

}  // namespace

std::pair<std::string, Params::Given> parse_call(std::string_view text) { return Parser(text).parse_single_call(); }

Recipe Recipe::parse(std::string_view text) {
  Recipe recipe = Parser(text).parse();
  check(recipe);
  return recipe;
}

std::string Recipe::print() const {
  std::string out;
  print_to(*this, &out);
  return out;
}

void Recipe::set_seed(uint64_t seed) {
  for (Chain& chain : terms) {
    for (Stage& stage : chain.stages) {
      if (stage.params.has("seed") && !stage.params.given("seed")) stage.params.set("seed", fmt::format("{}", seed));
    }
    for (Branch& branch : chain.branches) branch.recipe.set_seed(seed);
  }
}

}  // namespace occ
