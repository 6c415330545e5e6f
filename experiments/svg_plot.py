"""Line plots as SVG, for the experiments: nothing but the standard library.

    write("figure.svg", [Panel("title", "bits", "error", series={"rtn": [(2, .1), (3, .03)]}, ylog=True)], columns=2)
"""
import math
from dataclasses import dataclass, field
from html import escape

COLORS = ["#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf", "#7f7f7f", "#bcbd22", "#e377c2"]
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 380, 280, 62, 44, 30, 12


@dataclass
class Panel:
    title: str
    xlabel: str
    ylabel: str
    series: dict = field(default_factory=dict)  # label -> [(x, y), ...]
    xlog: bool = False
    ylog: bool = False
    lines: bool = True  # False: points only


def ticks(low, high, log):
    """Places of about five marks from low to high."""
    if log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        steps = (1, 2, 5) if last - first <= 2 else (1,)
        jump = max(1, (last - first) // 6)
        return [m * 10.0**e for e in range(first, last + 1, jump) for m in steps if low <= m * 10.0**e <= high]
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (m * step) <= 6)
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def limits(values, log):
    low, high = min(values), max(values)
    if log:
        return low / 1.15, high * 1.15
    room = (high - low or abs(high) or 1) * 0.05
    return low - room, high + room


def panel_svg(panel, colors):
    points = [p for line in panel.series.values() for p in line
              if (p[1] > 0 or not panel.ylog) and (p[0] > 0 or not panel.xlog)]
    out = [f'<text x="{WIDTH / 2}" y="18" text-anchor="middle" font-weight="bold">{escape(panel.title)}</text>']
    if not points:
        return out
    (x0, x1), (y0, y1) = limits([p[0] for p in points], panel.xlog), limits([p[1] for p in points], panel.ylog)

    def place(value, low, high, log, start, end):
        if log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return start + (value - low) / (high - low) * (end - start)

    def at(x, y):
        return (place(x, x0, x1, panel.xlog, LEFT, WIDTH - RIGHT), place(y, y0, y1, panel.ylog, HEIGHT - BOTTOM, TOP))

    for x in ticks(x0, x1, panel.xlog):
        px = at(x, y0)[0]
        out.append(f'<line x1="{px:.1f}" y1="{TOP}" x2="{px:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        out.append(f'<text x="{px:.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{x:g}</text>')
    for y in ticks(y0, y1, panel.ylog):
        py = at(x0, y)[1]
        out.append(f'<line x1="{LEFT}" y1="{py:.1f}" x2="{WIDTH - RIGHT}" y2="{py:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 5}" y="{py + 4:.1f}" text-anchor="end">{y:g}</text>')
    out.append(f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH - RIGHT - LEFT}" height="{HEIGHT - BOTTOM - TOP}" fill="none" '
               'stroke="#444"/>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(panel.xlabel)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    out.append(f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">'
               f'{escape(panel.ylabel)}</text>')
    for label, line in panel.series.items():
        kept = [at(*p) for p in line if (p[1] > 0 or not panel.ylog) and (p[0] > 0 or not panel.xlog)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in kept)
        if panel.lines:
            out.append(f'<polyline points="{path}" fill="none" stroke="{colors[label]}" stroke-width="1.6"/>')
        if len(kept) <= 20 or not panel.lines:
            out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colors[label]}"/>' for x, y in kept]
    return out


def svg(panels, columns=2):
    labels = list(dict.fromkeys(label for panel in panels for label in panel.series))
    colors = {label: COLORS[i % len(COLORS)] for i, label in enumerate(labels)}
    rows, per_line = -(-len(panels) // columns), max(1, columns * WIDTH // 190)
    width, top = columns * WIDTH, 18 * -(-len(labels) // per_line) + 12
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top + rows * HEIGHT}" '
           'font-family="sans-serif" font-size="11">', '<rect width="100%" height="100%" fill="white"/>']
    for i, label in enumerate(labels):
        x, y = 14 + i % per_line * 190, 16 + i // per_line * 18
        out.append(f'<line x1="{x}" y1="{y - 4}" x2="{x + 22}" y2="{y - 4}" stroke="{colors[label]}" stroke-width="3"/>')
        out.append(f'<text x="{x + 28}" y="{y}">{escape(label)}</text>')
    for i, panel in enumerate(panels):
        out.append(f'<g transform="translate({i % columns * WIDTH} {top + i // columns * HEIGHT})">')
        out += panel_svg(panel, colors)
        out.append("</g>")
    out.append("</svg>\n")
    return "\n".join(out)


def write(path, panels, columns=2):
    with open(path, "w") as f:
        f.write(svg(panels, columns))


BAR_COLORS = ["#7f7f7f", "#1f77b4", "#2ca02c", "#d62728", "#9467bd"]


def bars(title, xlabel, groups, log=False):
    """Horizontal bars: groups [(label, {series: value})]; values may be negative unless log."""
    series = list(dict.fromkeys(s for _, g in groups for s in g))
    values = [v for _, g in groups for v in g.values()]
    if log:
        low, high = math.log10(min(values)) - 0.15, math.log10(max(values)) + 0.1
    else:
        low, high = min(0, *values), max(0, *values)
        low, high = low - 0.04 * (high - low), high + 0.04 * (high - low)
    left, width, thick = 230, 760, 11
    height = 62 + sum(thick * len(g) + 9 for _, g in groups) + 16

    def at(v):
        return left + (width - left - 58) * ((math.log10(v) if log else v) - low) / (high - low)

    zero = left if log else at(0)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="{width / 2}" y="17" text-anchor="middle" font-weight="bold">{escape(title)}</text>']
    for i, s in enumerate(series):
        out.append(f'<rect x="{14 + 240 * i}" y="28" width="11" height="11" fill="{BAR_COLORS[i]}"/>'
                   f'<text x="{30 + 240 * i}" y="38">{escape(s)}</text>')
    y = 54
    for label, g in groups:
        out.append(f'<text x="{left - 8}" y="{y + thick * len(g) / 2 + 4}" text-anchor="end">{escape(label)}</text>')
        for s, v in g.items():
            a, b = sorted((zero, at(v)))
            out.append(f'<rect x="{a:.1f}" y="{y}" width="{max(b - a, 0.5):.1f}" height="{thick - 2}" fill="{BAR_COLORS[series.index(s)]}"/>'
                       f'<text x="{b + 4:.1f}" y="{y + thick - 2}" font-size="9">{v:.3g}</text>')
            y += thick
        y += 9
    out += [f'<line x1="{zero:.1f}" y1="48" x2="{zero:.1f}" y2="{y - 4}" stroke="#444"/>',
            f'<text x="{(left + width) / 2}" y="{y + 14}" text-anchor="middle">{escape(xlabel)}{" (log scale)" if log else ""}</text>',
            "</svg>\n"]
    return "\n".join(out)
