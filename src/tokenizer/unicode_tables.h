// Tables of unicode.cc and unicode_normalization.cc; made by scripts/make_unicode_tables.py.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace occ {

struct CharRange {
  uint32_t first, last;
};
// first, first + step, ... last become lower case by adding delta.
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
  // Canonical decompositions without Hangul, separated by spaces: difference to the character before, '=' or (where
  // NFC does not compose it again) '>', characters separated by commas; all hexadecimal.
  std::string_view decompositions;
};
const UnicodeTables& unicode_tables();

}  // namespace occ
