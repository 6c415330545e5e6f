// Finds the word that a user probably meant by a mistyped one.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace occ {

// The least number of insertions, deletions, replacements and swaps of neighbouring letters that turn `a` into `b`,
// where no letter is edited again after a swap. This is the restricted Damerau-Levenshtein distance (Damerau, 1964).
// The time is proportional to a.size() * b.size().
size_t edit_distance(std::string_view a, std::string_view b);

// If `word` has at least 3 letters and exactly one candidate begins with it, returns this candidate. Otherwise returns
// the first candidate of least edit distance if this distance is at most 1 or at most a third of the length of `word`,
// and nothing if there is no such candidate.
std::optional<std::string> closest(std::string_view word, std::span<const std::string> candidates);

}  // namespace occ
