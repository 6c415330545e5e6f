// Regular expressions of tokenizers. They are matched by PCRE2 (with JIT, UTF-8 and Unicode properties), but have the
// meaning that they have in Oniguruma, the library that the `tokenizers` package uses.
//
// Patterns are translated where the two libraries differ: \s is the property White_Space; \w is alphabetic characters,
// marks, decimal digits and connectors; ^ and $ match at every line; \p{Han} is a script. What cannot be translated is
// refused: && in classes, \h, (?m). Properties are those of the Unicode version of the PCRE2 library (14.0 for PCRE2
// 10.42).
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
  // Throws an input error that names `what` (the file) and the pattern if it cannot be compiled.
  Regex(std::string_view pattern, const std::string& what);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  // Begin and end, in bytes, of all matches from left to right, without overlap. `subject` must be valid UTF-8. Throws
  // an input error if matching takes too many steps. Thread-safe.
  std::vector<std::pair<size_t, size_t>> matches(std::string_view subject) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

}  // namespace occ
