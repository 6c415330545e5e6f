#!/usr/bin/env python3
"""Every relative link of a Markdown file leads to something, and every docs/*.md named anywhere in the tree exists.

A link to a heading (`page.md#heading`) needs the heading. A block of code after <!-- from FILE --> must stand in that file. Prints what is
not so; exit status 1 if there is anything.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<!\\)\[[^\]\[]*(?:\[[^\]]*\][^\]\[]*)?\]\(\s*<?([^)\s>]+)>?[^)]*\)|(?:src|srcset|href)=\"([^\"]+)\"")
NAMED = re.compile(r"(?<![\w./-])docs/[\w./-]*\.md\b")
QUOTED = re.compile(r"<!-- from (\S+) -->\n```[a-z]*\n(.*?)```", re.S)
FOREIGN = {"docs/gguf.md"}  # of ggml


def without_code(text):
    """The text with code blocks and code spans blanked: what is in them is no link."""
    text = re.sub(r"^(```+|~~~+).*?^\1[^\n]*$", "", text, flags=re.M | re.S)
    return re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text, flags=re.S)


def anchors(text):
    """The anchors that GitHub makes of the headings."""
    found = {}
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M):
        slug = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", slug).replace(" ", "-")
        found[slug + (f"-{found[slug]}" if slug in found else "")] = found.get(slug, 0) + 1
    return found


def tracked():
    names = subprocess.run(["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"],
                           capture_output=True, text=True)
    if names.returncode == 0 and names.stdout:
        return [ROOT / n for n in names.stdout.split("\n") if n and (ROOT / n).is_file()]
    return [p for p in ROOT.rglob("*") if p.is_file() and not any(q.startswith((".git", "build")) for q in p.relative_to(ROOT).parts)]


def main():
    bad, links = [], 0
    for path in tracked():
        where = path.relative_to(ROOT)
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if path.suffix == ".md":
            for match in LINK.finditer(without_code(text)):
                target, _, anchor = (match[1] or match[2]).partition("#")
                if re.match(r"[a-z]+:", target):
                    continue
                links += 1
                file = (path.parent / target).resolve() if target else path
                if not file.exists():
                    bad.append(f"{where}: {target} does not exist")
                elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text()):
                    bad.append(f"{where}: {target or path.name} has no heading #{anchor}")
            bad += [f"{where}: {file} does not have what is quoted from it: {code.splitlines()[0].strip()} ..."
                    for file, code in QUOTED.findall(text) if code not in (ROOT / file).read_text()]
        if where.parts[0] != "fuzz":
            bad += [f"{where}: {name} does not exist" for name in NAMED.findall(text)
                    if name not in FOREIGN and not (ROOT / name).exists()]
    print("\n".join(bad) or f"{links} links lead somewhere")
    return 1 if bad or not links else 0


if __name__ == "__main__":
    sys.exit(main())
