// Parses templates as jinja2 does (jinja2/parser.py), with the loop controls and the tag `generation` that transformers
// adds.
#pragma once

#include <string_view>
#include <vector>

#include "chat/ast.h"

namespace occ::jinja {

inline constexpr size_t kMaxNodeDepth = 250;  // of the syntax tree

// The statements of a template, which must be valid UTF-8. Throws Fault; its message begins with the line.
std::vector<NodePtr> parse(std::string_view source, Meter& meter);

}  // namespace occ::jinja
