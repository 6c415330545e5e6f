// Regular expressions of tokenizers: PCRE2 (JIT, UTF, Unicode properties) with the meaning that Oniguruma gives them,
// which the `tokenizers` package uses.
//
// What differs between the two is translated: \s is the property White_Space, \w Alphabetic, marks, decimal digits and
// connectors, ^ and $ stand at every line, \p{Han} is a script. What cannot be is refused: && in classes, \h, (?m).
// Properties are those of the Unicode version of the PCRE2 library (14.0 for 10.42).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace occ {

class Regex {
 public:
  // Input error naming `what` and the pattern if it cannot be compiled.
  Regex(std::string_view pattern, const std::string& what);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  // Begin and end of all matches from left to right that do not overlap; `subject` must be valid UTF-8. Input error
  // where the pattern takes too many steps. Thread-safe.
  std::vector<std::pair<size_t, size_t>> matches(std::string_view subject) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

}  // namespace occ
