#!/usr/bin/env python3
"""Writes src/tokenizer/unicode_compatibility.cc: the compatibility decompositions of all characters, read off the `tokenizers`
package."""
import pathlib

from make_unicode_tables import string_literals
from tokenizers import normalizers

from_compatible, canonical = normalizers.NFKD(), normalizers.NFD()
words, last = [], 0
for c in range(0x110000):
    if 0xD800 <= c < 0xE000:
        continue
    to = from_compatible.normalize_str(chr(c))
    if to != canonical.normalize_str(chr(c)):
        words.append(f"{c - last:x}=" + ",".join(f"{ord(x):x}" for x in to))
        last = c
text = string_literals(words)
path = pathlib.Path(__file__).parent.parent / "src/tokenizer/unicode_compatibility.cc"
path.write_text(f"""// Made by scripts/make_compatibility_table.py.
#include "tokenizer/unicode_tables.h"

namespace occ {{

// clang-format off
std::string_view compatibility_decompositions() {{
  return
{text};
}}
// clang-format on

}}  // namespace occ
""")
