// The pipeline as a value: text that parses and prints canonically, used on the command line, in tests and in archives.
//
//   recipe := chain {'+' chain}              '+' codes what the chains before it left (the residual)
//   chain  := stage {'>' stage} ['>' '{' name ':' recipe {';' name ':' recipe} '}']
//   stage  := name ['(' key '=' value {',' key '=' value} ')']
//
// A chain is any number of transforms, then either a quantizer and a coder (or braces with one coder per symbol plane),
// or a transform of several planes and braces with one recipe per plane:
//   signs(seed=7) > hadamard(block=128) > uniform(bits=4, group=64) > bitpack
//   split(rows=100) > { head: uniform(bits=3) > bitpack ; tail: uniform(bits=2) > bitpack }
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/params.h"

namespace occ {

struct Branch;

struct Stage {
  std::string name;
  Params params;
};

struct Chain {
  std::vector<Stage> stages;
  std::vector<Branch> branches;
};

struct Recipe {
  std::vector<Chain> terms;

  // Usage errors point at the place. The result is checked: stages exist, come in a sensible order, branches fit.
  static Recipe parse(std::string_view text);
  std::string print() const;
  // Gives `seed` to every stage that has a parameter of that name and was not given one.
  void set_seed(uint64_t seed);
};

struct Branch {
  std::string name;
  Recipe recipe;
};

// The grammar's stage alone: {name, {{key, value}, ...}}.
std::pair<std::string, Params::Given> parse_call(std::string_view text);

}  // namespace occ
