// Scripts of characters as the pre-tokenizer UnicodeScripts of the `tokenizers` package tells them apart, made by
// scripts/make_script_table.py.
#pragma once

#include <cstdint>
#include <span>

namespace occ {

struct ScriptRange {
  uint32_t first, last;
  uint8_t script;  // a number from 1 that has no other meaning
};
// In ascending order. Characters in no range, spaces among them, have no script.
std::span<const ScriptRange> unicode_scripts();

}  // namespace occ
