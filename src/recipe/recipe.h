// A recipe describes the pipeline that codes a matrix. It is written as text, on the command line, in tests and in
// archives; parse reads any valid text and print gives the canonical one.
//
//   recipe := chain {'+' chain}              a chain after '+' codes the residual of the chains before it
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

  // Usage error with the place of the mistake. The result is checked: all stages exist and are in a valid order, and
  // the branches belong to their stage.
  static Recipe parse(std::string_view text);
  std::string print() const;
  // Sets the parameter `seed` of every stage that has such a parameter and whose text does not give it.
  void set_seed(uint64_t seed);
};

struct Branch {
  std::string name;
  Recipe recipe;
};

// Parses a single stage of this grammar into {name, {{key, value}, ...}}.
std::pair<std::string, Params::Given> parse_call(std::string_view text);

}  // namespace occ
