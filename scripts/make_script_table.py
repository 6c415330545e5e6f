#!/usr/bin/env python3
"""Writes src/tokenizer/unicode_scripts.cc: which characters the pre-tokenizer UnicodeScripts of the `tokenizers` package
takes to be of one script, read off the package."""
import pathlib

from make_unicode_tables import CHARS, fill
from tokenizers import pre_tokenizers

pre = pre_tokenizers.UnicodeScripts()


def pieces(text):
    return len(pre.pre_tokenize_str(text))


representatives = []  # a character of every script; the number of a script is its place, from 1
runs = []  # first, last, script
for c in CHARS:
    x = chr(c)
    same = runs and runs[-1][1] == c - 1 and pieces(representatives[runs[-1][2] - 1] + x) == 1
    if pieces("a" + x + "a") == 1 and pieces("\u4e2d" + x + "\u4e2d") == 1:
        continue  # of none: goes with what stands before it
    if not same:
        script = next((i for i, r in enumerate(representatives, 1) if pieces(r + x) == 1), None)
        if script is None:
            representatives.append(x)
            script = len(representatives)
        runs.append([c, c, script])
    else:
        runs[-1][1] = c
table = fill(f"{{0x{a:X}, 0x{b:X}, {s}}}," for a, b, s in runs)
path = pathlib.Path(__file__).parent.parent / "src/tokenizer/unicode_scripts.cc"
path.write_text(f"""// Made by scripts/make_script_table.py.
// clang-format off
#include "tokenizer/unicode_scripts.h"

namespace occ {{
namespace {{

constexpr ScriptRange kScripts[] = {{
{table}
}};

}}  // namespace

std::span<const ScriptRange> unicode_scripts() {{ return kScripts; }}

}}  // namespace occ
""")
