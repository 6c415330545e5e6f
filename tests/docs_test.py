#!/usr/bin/env python3
"""Checks the documents against the program.

usage: docs_test.py OCC flags      every --option of an `occ` command that a page shows exists
       docs_test.py OCC commands   README, tutorials and how-to pages: every `occ` command runs and prints what the page says
       docs_test.py OCC help       docs/reference/cli.md has the help of every command; --write brings it up to date
       docs_test.py OCC json       docs/reference/json.md has every key that a command prints with --json, and no other

How pages are read. Of a block ```sh every line that begins with `occ ` is run. Of a block ```console the lines that begin with `$ `
are run, and what follows each is what it must print: words must be equal, numbers within 10 % (times and speeds may be any), `...` stands
for anything, alone on a line for any number of lines. A block after a line <!-- not run: REASON --> is left out. The blocks of a page run one after the
other in a folder that has what prepare() puts there. Exit status 77: the test data is missing (OCC_TEST_DATA).
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLI, JSON = ROOT / "docs/reference/cli.md", ROOT / "docs/reference/json.md"
COMMANDS = ["compress", "decompress", "verify", "inspect", "compare", "analyze", "sweep", "evaluate", "generate", "embed", "serve", "tokenize", "methods",
            "index", "search"]
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")


def blocks(page):
    """(line number, kind, lines) of the fenced blocks of a page that are to be run."""
    found, inside, skip = [], None, False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if inside is not None:
            if line.startswith("```"):
                found.append(inside)
                inside = None
            elif inside[1] != "skip":
                inside[2].append(line)
        elif line.startswith("```"):
            inside = (number, "skip" if skip else line[3:].strip(), [])
        if line.strip():
            skip = line.startswith("<!-- not run:")
    return found


def commands(text):
    """The `occ ...` commands in a text: each line of a block or code span that begins so, comments and pipes cut off."""
    for line in text.replace("\\\n", " ").splitlines():
        for found in re.finditer(r"(?:^\s*(?:\$ )?|`|[|;] *|do |\$\()((?:build/)?occ [a-z]+ [^`]*)", line):
            yield found[1].split("  #")[0]


def pages():
    """All pages of the tree; folders of builds are left out, other tests make and remove some meanwhile."""
    for folder, inner, names in os.walk(ROOT):
        inner[:] = sorted(i for i in inner if not i.startswith((".", "build", "demo")))
        yield from (Path(folder) / name for name in sorted(names) if name.endswith(".md"))


def check_flags(occ):
    known = {c: set(re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", run_quietly([occ, c, "--help"]))) for c in COMMANDS}
    everywhere = {"--threads", "--quiet", "-q", "--verbose", "-v", "--help", "-h", "--json"}
    bad, count = [], 0
    for page in pages():
        for command in commands(page.read_text()):
            count += 1
            name = command.split()[1]
            where = f"{page.relative_to(ROOT)}: {command.strip()}"
            if name not in COMMANDS:
                bad.append(f"{where}: there is no command {name}")
                continue
            for flag in re.findall(r"(?<=\s)(--?[a-z][\w-]*)", re.sub(r"'[^']*'|\"[^\"]*\"", "''", re.split(r"[|;>] ", re.sub(r"[$]\([^)]*\)", "", command))[0])):
                if flag not in known[name] | everywhere:
                    bad.append(f"{where}: occ {name} has no option {flag}")
    return bad or (None if count else ["no command found"])


def run_quietly(arguments, **more):
    return subprocess.run(arguments, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, **more).stdout


def data():
    folder = Path(os.environ.get("OCC_TEST_DATA") or os.environ.get("OCC_DEFAULT_TEST_DATA") or ROOT / "../shared/data")
    if not (folder / "models/stories260k").is_dir():
        print(f"SKIPPED: test data not found: {folder}")
        sys.exit(77)
    return folder.resolve()


def prepare(work, occ):
    """What the pages' commands work on: a model as MODEL and stories260k, texts, vectors."""
    given = data()
    for name in ("MODEL", "stories260k"):
        (work / name).symlink_to(given / "models/stories260k")
    stories = (given / "text/tinystories_a.txt").read_bytes()
    (work / "stories.txt").write_bytes(stories[:100000])
    (work / "calibration.txt").write_bytes(stories[-800000:])
    for name in ("text.txt", "other.txt"):
        (work / name).write_bytes(stories[-15000:])
    (work / "vectors.fvecs").symlink_to(given / "vectors/sift5k_base4500.fvecs")
    (work / "queries.fvecs").symlink_to(given / "vectors/sift5k_query500.fvecs")
    (work / "truth.ivecs").symlink_to(given / "vectors/sift5k_gt100_l2.ivecs")
    run_quietly([occ, "decompress", "vectors.fvecs", "-o", "vectors.npy"], cwd=work)


def fits(expected, printed):
    """Whether a printed line is the expected one, numbers within 10 %; `...` stands for anything."""
    pattern, numbers, last = "", [], 0
    for found in re.finditer(r"\.\.\.|" + NUMBER.pattern, expected):
        pattern += re.sub(r"(?:\\ )+", r"\\s+", re.escape(expected[last:found.start()]))
        last = found.end()
        if found[0] == "...":
            pattern += ".*"
            continue
        pattern += f"({NUMBER.pattern})"
        time = re.match(r" ?(s|min|tokens/s|MB/s)\b", expected[last:])
        numbers.append(None if time else float(found[0].replace(",", "")))
    pattern += re.sub(r"(?:\\ )+", r"\\s+", re.escape(expected[last:]))
    found = re.fullmatch(pattern, printed)
    return bool(found) and all(want is None or abs(float(got.replace(",", "")) - want) <= abs(want) * 0.1 + 1e-9
                               for want, got in zip(numbers, found.groups()))


def first_difference(expected, printed):
    """Nothing if the printed lines are what was expected, else the first line that is not."""
    if not expected:
        return f"also printed: {printed[0]}" if printed else None
    if expected[0].strip() == "...":
        return None if any(first_difference(expected[1:], printed[i:]) is None for i in range(len(printed) + 1)) else (
            f"not printed: {expected[1]}")
    if not printed or not fits(expected[0], printed[0]):
        return f"expected: {expected[0]}\n    printed:  {printed[0] if printed else 'nothing'}"
    return first_difference(expected[1:], printed[1:])


def run_block(kind, lines, work, environment):
    """What is wrong, if anything. Lines that end in a backslash go on."""
    steps = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if kind == "sh" and line.startswith("occ "):
            steps.append((line, None))
        elif kind == "console" and line.startswith("$ "):
            steps.append((line[2:], []))
        elif kind == "console" and steps:
            steps[-1][1].append(line.rstrip())
    for command, expected in steps:
        done = subprocess.run(["bash", "-c", command], cwd=work, env=environment, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            return f"$ {command}\n    exit status {done.returncode}: {done.stderr.strip()}"
        if expected is None:
            continue
        while expected and not expected[-1]:
            expected.pop()
        wrong = first_difference(expected, [line.rstrip() for line in done.stdout.rstrip().splitlines()])
        if wrong:
            return f"$ {command}\n    {wrong}"
    return None


def check_commands(occ):
    bad = []
    guides = [ROOT / "README.md", *sorted((ROOT / "docs/tutorial").glob("*.md")), *sorted((ROOT / "docs/howto").glob("*.md"))]
    for page in guides:
        work = Path(tempfile.mkdtemp())
        try:
            prepare(work, occ)
            (work / "bin").mkdir()
            (work / "bin/occ").symlink_to(occ)
            environment = {**os.environ, "PATH": f"{work}/bin:{os.environ['PATH']}", "XDG_CACHE_HOME": str(work / "cache")}
            for number, kind, lines in blocks(page):
                wrong = run_block(kind, lines, work, environment)
                if wrong:
                    bad.append(f"{page.relative_to(ROOT)}, block at line {number}:\n  {wrong}")
                    break
        finally:
            shutil.rmtree(work)
    return bad


def check_help(occ, write):
    old = CLI.read_text()
    new = re.sub(r"(<!-- (occ[a-z ]* --help) -->\n)```text\n.*?```",
                 lambda m: f"{m[1]}```text\n{run_quietly([occ, *shlex.split(m[2])[1:]], env={**os.environ, 'COLUMNS': '120'}).strip()}\n```", old, flags=re.S)
    missing = [c for c in COMMANDS if f"<!-- occ {c} --help -->" not in old]
    if write:
        CLI.write_text(new)
    elif new != old:
        missing.append("the help has changed: run tests/docs_test.py OCC help --write")
    return missing


def keys(value, path=""):
    """The paths of all values of a JSON document; [] stands for any item of an array."""
    if isinstance(value, dict):
        return {p for key, item in value.items() for p in keys(item, f"{path}.{key}" if path else key)}
    if isinstance(value, list):
        return {p for item in value for p in keys(item, path + "[]")}
    return {path}


# Together they print every key that there is.
JSON_COMMANDS = """
compress vectors.npy -o v.occ --json
compress vectors.npy -o q.occ --method qet(levels=2) --json
compress {given}/gguf/kq-Q4_K_M.gguf -o k.occ --method rtn --json
compress stories260k -o m.occ --calibrate text.txt --calibration-tokens 2048 --tune-tokens 0 --json
inspect v.occ --json
inspect q.occ --json
inspect {given}/gguf/kq-Q4_K_M.gguf --json
inspect m.occ --limits --json
compare vectors.npy v.occ --activations vectors.npy --cosines --json
compare two.safetensors one.safetensors --json
analyze vectors.npy --json
sweep vectors.npy --methods rtn --bits 2 -o of_vectors --json
sweep stories260k --methods rtn --bits 4 --text text.txt --max-tokens 1024 -o of_model --json
sweep encoder --methods rtn --bits 4 --text sentences.txt -o of_encoder --json
evaluate m.occ --reference stories260k --text text.txt --max-tokens 1024 --prompt Once --json
evaluate stories260k --task {given}/tasks/piqa.jsonl --limit 4 --json
evaluate encoder --reference encoder --pairs sentences.txt --json
evaluate encoder --reference encoder --probe labels.txt,labels.txt --json
index vectors.npy -o i.occ --method pq --json
index queries.fvecs -o j.occ --method pq(k=512) --json
search i.occ vectors.npy -k 2 --originals vectors.npy --json
tokenize stories260k --prompt Once --json
tokenize encoder/tokenizer.json --messages chat.json --json
methods --json
"""


def write_safetensors(path, tensors):
    """tensors: {name: (dtype, shape, bytes)}"""
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data for _, _, data in tensors.values()))


def prepare_json(work):
    """Tensors that only one of two files has, integers that differ, and a tiny encoder with a tokenizer of letters."""
    common = {"same": ("F32", [2], bytes(8))}
    write_safetensors(work / "one.safetensors", {**common, "ids": ("I32", [1], b"\1\0\0\0")})
    write_safetensors(work / "two.safetensors", {**common, "ids": ("I32", [1], b"\2\0\0\0"), "more": ("F32", [1], bytes(4))})
    (work / "encoder").mkdir()
    bert = ROOT / "tests/expected/models/bert"
    shutil.copy(bert / "model.safetensors", work / "encoder")
    shutil.copy(bert / "plain.config.json", work / "encoder/config.json")
    words = ["[UNK]", "[CLS]", "[SEP]", *"abcdefghij"]
    tokenizer = {"model": {"type": "WordPiece", "vocab": {w: i for i, w in enumerate(words)}, "unk_token": "[UNK]",
                           "continuing_subword_prefix": "##", "max_input_chars_per_word": 100},
                 "normalizer": None, "pre_tokenizer": {"type": "Whitespace"}, "added_tokens": [], "decoder": None,
                 "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]}}
    (work / "encoder/tokenizer.json").write_text(json.dumps(tokenizer))
    (work / "encoder/tokenizer_config.json").write_text('{"chat_template": "{{ messages[0].content }}"}')
    (work / "chat.json").write_text('[{"role": "user", "content": "a"}]')
    (work / "sentences.txt").write_text("a b\nc d\ne f\ng h\n")
    (work / "labels.txt").write_text("0 a b\n1 c d\n0 a e\n1 c f\n")


def check_json(occ):
    documented, section = {}, None
    for line in JSON.read_text().splitlines():
        if line.startswith("## occ "):
            section = documented.setdefault(line.split()[2], set())
        elif line.startswith("| `"):
            section |= set(re.findall(r"`([^`]+)`", line.split(" | ")[0]))
    printed = {name: set() for name in documented}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(work, occ)
        prepare_json(work)
        for line in JSON_COMMANDS.strip().splitlines():
            arguments = line.format(given=data()).split()
            environment = {**os.environ, "XDG_CACHE_HOME": str(work / "cache")}
            printed[arguments[0]] |= keys(json.loads(run_quietly([occ, *arguments], cwd=work, env=environment)))
    bad = []
    for name, own in printed.items():
        bad += [f"occ {name} --json prints {key}: not in {JSON.name}" for key in sorted(own - documented[name])]
        bad += [f"{JSON.name}: occ {name} --json never prints {key}" for key in sorted(documented[name] - own)]
    return bad


def main():
    occ, part = Path(sys.argv[1]).resolve(), sys.argv[2]
    bad = {"flags": check_flags, "commands": check_commands, "json": check_json,
           "help": lambda program: check_help(program, "--write" in sys.argv)}[part](occ)
    print("\n".join(bad) if bad else f"{part}: as documented")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
