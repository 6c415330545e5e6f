// Runs templates. Right means the text that jinja2 makes, with the settings and the functions that transformers gives it
// (transformers/utils/chat_template_utils.py): trim_blocks, lstrip_blocks, loop controls, the tag `generation`,
// raise_exception, strftime_now, and a tojson that escapes nothing.
#pragma once

#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/ast.h"
#include "chat/builtins.h"

namespace occ::jinja {

// Limits of one rendering, beside kMaxNodeDepth, kMaxCallDepth and kMaxValueDepth. They grow with the data, because
// templates go over all messages.
struct Limits {
  size_t steps = 4'000'000;         // evaluated nodes and touched elements
  size_t text = size_t{128} << 20;  // bytes of all strings that are made
};

class Template {
 public:
  // Parses `source`, which must be valid UTF-8. Throws Fault; its message begins with the line.
  explicit Template(std::string_view source);

  // The text for these variables. Throws Fault; its message begins with the line unless it is `refused`.
  std::string render(std::vector<std::pair<std::string, Value>> variables, Context& context) const;

 private:
  std::vector<NodePtr> body_;
};

}  // namespace occ::jinja
