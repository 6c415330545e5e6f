// Tables for unicode.cc and unicode_normalization.cc, made by scripts/make_unicode_tables.py.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace occ {

struct CharRange {
  uint32_t first, last;
};
// The lower-case forms of the characters first, first + step, ..., last are these plus delta.
struct LowerRange {
  uint32_t first, last, step;
  int32_t delta;
};
struct CombiningRange {
  uint32_t first, last;
  uint8_t combining_class;
};

struct UnicodeTables {
  std::span<const CharRange> punctuation, other, mark_nonspacing, mark;
  std::span<const LowerRange> lower;
  std::span<const CombiningRange> combining;
  // Canonical decompositions without Hangul, separated by spaces. Each is the difference to the character of the
  // previous one, then '=' or (if NFC does not compose the character again) '>', then the characters of the
  // decomposition, separated by commas. All numbers are hexadecimal.
  std::string_view decompositions;
};
const UnicodeTables& unicode_tables();
// Compatibility decompositions (to the end) of the characters that have one, written as above with '=' only.
std::string_view compatibility_decompositions();

}  // namespace occ
