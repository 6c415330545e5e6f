#!/usr/bin/env python3
"""Writes src/tokenizer/unicode_tables.cc. Needs the `tokenizers` package: categories, lower case and decompositions are read
off what it does to each character, because its tables are of several Unicode versions (8 to 17) and ids must be equal.
Combining classes are those of Python's unicodedata where `tokenizers` has one."""
import sys
import unicodedata

from tokenizers import normalizers, pre_tokenizers

CHARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def ranges(members):
    out = []
    for c in sorted(members):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def removed(normalizer):
    return {c for c in CHARS if normalizer.normalize_str("a" + chr(c) + "b") == "ab"}


def bert(**on):
    options = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**options, **on})


def fill(words, indent="    ", width=120):
    lines, line = [], indent
    for w in words:
        if len(line) + len(w) > width:
            lines.append(line.rstrip())
            line = indent
        line += w + " "
    return "\n".join(lines + [line.rstrip()])


def string_literals(words):
    """Words with a space behind each, as string literals on lines of their own."""
    lines, line = [], ""
    for w in words:
        if len(line) + len(w) > 110:
            lines.append(line)
            line = ""
        line += w + " "
    return "\n".join(f'    "{x}"' for x in lines + [line])


def range_table(name, members):
    print(f"constexpr CharRange {name}[] = {{")
    print(fill(f"{{0x{a:X}, 0x{b:X}}}," for a, b in ranges(members)))
    print("};\n")


def lower_table():
    lower = normalizers.Lowercase()
    pairs = []
    for c in CHARS:
        to = lower.normalize_str(chr(c))
        if to == chr(c):
            continue
        if len(to) > 1:
            assert c == 0x130 and to == "i\u0307", hex(c)  # in unicode.cc
            continue
        pairs.append((c, ord(to) - c))
    runs = []  # first, last, step, delta
    for c, delta in pairs:
        if runs and runs[-1][3] == delta:
            r = runs[-1]
            step = c - r[1]
            if step in (1, 2) and (r[0] == r[1] or step == r[2]):
                r[1], r[2] = c, step
                continue
        runs.append([c, c, 1, delta])
    print("constexpr LowerRange kLower[] = {")
    print(fill(f"{{0x{a:X}, 0x{b:X}, {s}, {d}}}," for a, b, s, d in runs))
    print("};\n")


def combining_class(c, nfd=normalizers.NFD()):
    """That of unicodedata, or 0 where `tokenizers` does not put the character in order with others."""
    k = unicodedata.combining(chr(c))
    low, high = "\u0334", "\u0301"  # of classes 1 and 230
    moves = nfd.normalize_str(chr(c) + low)[0] == low if k > 1 else nfd.normalize_str(high + chr(c))[0] != high
    return k if k and moves else 0


def class_table():
    runs = []
    for c in CHARS:
        k = combining_class(c)
        if k and runs and runs[-1][1] == c - 1 and runs[-1][2] == k:
            runs[-1][1] = c
        elif k:
            runs.append([c, c, k])
    print("constexpr CombiningRange kCombining[] = {")
    print(fill(f"{{0x{a:X}, 0x{b:X}, {k}}}," for a, b, k in runs))
    print("};\n")


def decomposition_table():
    nfd, nfc = normalizers.NFD(), normalizers.NFC()
    words, previous = [], 0
    for c in CHARS:
        to = nfd.normalize_str(chr(c))
        if to == chr(c) or 0xAC00 <= c <= 0xD7A3:
            continue
        composes = nfc.normalize_str(chr(c)) == chr(c)
        words.append(f"{c - previous:x}{'=' if composes else '>'}" + ",".join(f"{ord(x):x}" for x in to))
        previous = c
    print("constexpr char kDecompositions[] =")
    print(string_literals(words) + ";\n")


def main():
    sys.stdout = open(sys.argv[1], "w", encoding="utf-8")
    print("// Made by scripts/make_unicode_tables.py.\n// clang-format off")
    print('#include "tokenizer/unicode_tables.h"\n\nnamespace occ {\nnamespace {\n')
    punctuation = pre_tokenizers.Punctuation()
    range_table("kPunctuation", [c for c in CHARS if len(punctuation.pre_tokenize_str("a" + chr(c))) == 2])
    range_table("kOther", removed(bert(clean_text=True)))
    strip = bert(strip_accents=True)
    range_table("kMarkNonspacing", [c for c in CHARS if strip.normalize_str(chr(c)) == ""])
    range_table("kMark", removed(normalizers.StripAccents()))
    lower_table()
    class_table()
    decomposition_table()
    print("}  // namespace\n")
    print("const UnicodeTables& unicode_tables() {")
    print("  static constexpr UnicodeTables kTables = {kPunctuation, kOther, kMarkNonspacing, kMark,")
    print("                                            kLower, kCombining, kDecompositions};")
    print("  return kTables;\n}\n\n}  // namespace occ")


if __name__ == "__main__":
    main()
