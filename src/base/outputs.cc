#include "base/outputs.h"

#include "base/error.h"

namespace occ {

namespace fs = std::filesystem;

void require_not_input(const fs::path& output, const fs::path& input) {
  const auto is_same = [](const fs::path& a, const fs::path& b) {
    std::error_code ec;
    return fs::equivalent(a, b, ec);
  };
  std::error_code ec;
  bool replaced = is_same(output, input);
  // A model's files lie in its folder and at most one below.
  for (fs::recursive_directory_iterator it(input, fs::directory_options::skip_permission_denied, ec), end;
       !ec && it != end && !replaced; it.increment(ec)) {
    replaced = is_same(output, it->path());
    if (it.depth() != 0) it.disable_recursion_pending();
  }
  // Of a folder that is replaced everything goes.
  if (fs::is_directory(output, ec)) {
    for (fs::path p = fs::canonical(input, ec); !ec && p.has_relative_path() && !replaced; p = p.parent_path()) {
      replaced = is_same(output, p);
    }
  }
  if (replaced) {
    throw_usage("{}: expected an output that does not replace the input {}", output.string(), input.string());
  }
}

}  // namespace occ
