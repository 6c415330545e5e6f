// What was meant by a mistyped word.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace occ {

// Fewest insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`, none inside a swap
// (the restricted distance of Damerau, 1964). Time a.size() * b.size().
size_t edit_distance(std::string_view a, std::string_view b);

// The candidate that begins with `word` (at least 3 letters of it, and no other candidate begins so), or else the one
// of least edit distance, if that is at most a third of the word's length and at least 1; the first of several.
// Nothing if none is near.
std::optional<std::string> closest(std::string_view word, std::span<const std::string> candidates);

}  // namespace occ
