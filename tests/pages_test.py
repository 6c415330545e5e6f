#!/usr/bin/env python3
"""Checks HTML pages of `--report` and `occ sweep`.

usage: pages_test.py PAGE...          each is well-formed XML that needs nothing from elsewhere, fits a phone, has another dark scheme
                                      and a caption that tells how to repeat it below every figure
       pages_test.py --sweep DIR JSON     every point of the page of a sweep has the figures of the JSON
       pages_test.py --tensors PAGE JSON  every tensor has its bytes, and the big numbers are those of the JSON of `occ compress`
"""
import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def parse(path):
    return ET.fromstring(Path(path).read_text().replace("<!DOCTYPE html>", "", 1))


def texts(root, tag):
    return ["".join(e.itertext()) for e in root.iter(tag)]


def scheme(style, begin):
    """The colours that a :root block defines."""
    return dict(re.findall(r"(--[\w-]+): ([^;]+);", style.partition(begin)[2].split("}")[0]))


def check_page(path):
    bad = []
    text = Path(path).read_text()
    root = parse(path)
    if re.search(r"\b(src|href|url|srcset|data)\s*[=(]|https?:|@import|<script", text):
        bad.append("needs something from elsewhere")
    viewport = [m for m in root.iter("meta") if m.get("name") == "viewport"]
    if not viewport or "width=device-width" not in viewport[0].get("content"):
        bad.append("no viewport for phones")
    style = root.find("head/style").text
    light, dark = scheme(style, ":root"), scheme(style, "prefers-color-scheme: dark")
    if not dark or any(dark.get(name) == value for name, value in light.items() if name in ("--text", "--page", "--c0", "--heat")):
        bad.append("the dark scheme is the light one")
    for name in set(re.findall(r"var\((--[\w-]+)\)", style)) - {"--c"}:
        if name not in light or name not in dark:
            bad.append(f"{name} is not in both schemes")
    figures = list(root.iter("figure"))
    if not figures:
        bad.append("no figure")
    for figure in figures:
        title, caption = figure.find("h3").text, figure.find("figcaption")
        if caption is None or len(caption.text or "") < 40 or not (caption.findtext("code") or "").startswith("occ "):
            bad.append(f"{title}: no caption that tells what was measured and how to repeat it")
        svgs = list(figure.iter("svg"))
        for svg in svgs:
            width = float(svg.get("viewBox").split()[2])
            if width > 480:
                bad.append(f"{title}: {width} units wide, too small on a phone")
            if len(list(svg)) == 0:
                bad.append(f"{title}: empty")
        if not svgs and figure.find(".//table") is None and figure.find(".//p") is None:
            bad.append(f"{title}: nothing in it")
    if len(root.findall(".//div[@class='numbers']/div")) < 3:
        bad.append("fewer than three numbers on top")
    return bad


def near(printed, exact, digits):
    return abs(float(printed) - exact) <= abs(exact) * 10.0 ** (1 - digits) + 1e-12


def check_sweep(folder, document):
    page, figures = parse(Path(folder) / "index.html"), json.loads(Path(document).read_text())
    titles = texts(page, "title")
    bad = []
    for cell in figures["cells"]:
        if cell["state"] != "done":
            continue
        start = f"{cell['method']} at --bits {cell['bits']:g}: {cell['bpw']:.4f} bits per weight, {cell['bytes']} bytes, "
        own = [t[len(start):] for t in titles if t.startswith(start)]
        if not own:
            bad.append(f"no point for {start}")
        for name, key in (("nmse", "nmse"), ("KL", "kl"), ("perplexity", "perplexity"), ("recall", "recall_at_10")):
            shown = [re.match(name + r" ([\d.e+-]+)", t) for t in own]
            shown = [m[1] for m in shown if m]
            if cell.get(key) is not None and not (shown and near(shown[0], cell[key], 6)):
                bad.append(f"{start} {name}: {shown} in place of {cell[key]}")
    return bad


def check_tensors(path, document):
    page, figures = parse(path), json.loads(Path(document).read_text())
    boxes = dict(re.fullmatch(r"(.*): (\d+) bytes", t).groups() for t in texts(page, "title") if re.fullmatch(r".*: \d+ bytes", t))
    bad = [f"{t['name']}: {boxes.get(t['name'])} bytes in place of {t['bytes']}" for t in figures["tensors"]
           if t["bytes"] and boxes.get(t["name"]) != str(t["bytes"])]
    if sum(map(int, boxes.values())) != figures["file_bytes"]:
        bad.append(f"the boxes are {sum(map(int, boxes.values()))} bytes, the file {figures['file_bytes']}")
    ratio = figures["input_bytes"] / figures["file_bytes"]
    loss = figures.get("loss", figures["nmse"])
    numbers = [b.text for b in page.findall(".//div[@class='numbers']/div/b")]
    if not near(numbers[1].split()[0], ratio, 3) or not near(numbers[2], loss, 4):
        bad.append(f"numbers on top {numbers} in place of ratio {ratio}, loss {loss}")
    return bad


def main():
    if sys.argv[1] == "--sweep":
        bad = check_sweep(*sys.argv[2:])
    elif sys.argv[1] == "--tensors":
        bad = check_tensors(*sys.argv[2:])
    else:
        bad = [f"{path}: {wrong}" for path in sys.argv[1:] for wrong in check_page(path)]
    print("\n".join(bad) if bad else "pages: as they should be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
