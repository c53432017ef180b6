"""The rates of a run as one picture: a bar per case, with marks for the floor and the goal. Plain SVG, written by hand."""

from html import escape

from bench.events import is_about_events
from bench.goals import Verdict
from bench.summary import Line, Report

WIDTH, LEFT, RIGHT, ROW, TOP = 900, 300, 110, 28, 56
BAR = 16
OURS, THEIRS, FLOOR, GOAL, INK = "#2b6cb0", "#a0aec0", "#c05621", "#2f855a", "#1a202c"


def svg(report: Report, verdicts: list[Verdict]) -> str:
    """The picture."""
    shown = [line for line in report.lines if _is_top_rate(line)]
    marks = {v.goal.case: (v.floor, v.aim) for v in verdicts if v.goal.unit == "/s"}
    most = max([line.rate.high for line in shown] + [goal for _, goal in marks.values()])
    scale = (WIDTH - LEFT - RIGHT) / most
    height = TOP + ROW * len(shown) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(16, 22, f"Jobs per second, {report.date} ({report.sizes.kind} run, store {report.store})", weight="bold"),
        _legend(),
    ]
    for row, line in enumerate(shown):
        y = TOP + ROW * row
        parts.append(_bar(line, y, scale))
        if line.subject == "holdfast" and line.name in marks:
            floor, goal = marks[line.name]
            parts += [_mark(value, y, scale, colour) for value, colour in ((floor, FLOOR), (goal, GOAL)) if value]
    return "\n".join([*parts, "</svg>", ""])


def _is_top_rate(line: Line) -> bool:
    """Whether a line shows a maximum rate; the others ran at a fixed rate, or are about memory or events."""
    rated = bool(line.operations) and line.asked_rate is None
    return rated and not line.name.startswith("preload") and not is_about_events(line.name)


def _bar(line: Line, y: int, scale: float) -> str:
    ours = line.subject == "holdfast"
    name = line.name if ours else f"{line.subject}: {line.name}"
    rate, low, high = line.rate.median, line.rate.low, line.rate.high
    middle = y + BAR / 2
    return "\n".join(
        [
            _text(LEFT - 8, y + 13, name, anchor="end"),
            f'<rect x="{LEFT}" y="{y}" width="{rate * scale:.1f}" height="{BAR}" fill="{OURS if ours else THEIRS}"/>',
            f'<line x1="{LEFT + low * scale:.1f}" x2="{LEFT + high * scale:.1f}" y1="{middle}" y2="{middle}" stroke="{INK}"/>',
            _text(LEFT + high * scale + 8, y + 13, f"{rate:,.0f}"),
        ]
    )


def _mark(value: float, y: int, scale: float, colour: str) -> str:
    x = LEFT + value * scale
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 4}" y2="{y + BAR + 4}" stroke="{colour}" stroke-width="3"/>'


def _legend() -> str:
    parts = []
    for x, colour, said in ((16, FLOOR, "floor"), (80, GOAL, "goal"), (140, INK, "lowest to highest run")):
        parts += [f'<line x1="{x}" x2="{x + 14}" y1="36" y2="36" stroke="{colour}" stroke-width="3"/>', _text(x + 18, 40, said)]
    return "\n".join(parts)


def _text(x: float, y: float, said: str, anchor: str = "start", weight: str = "normal") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{INK}"'
    return f"<text {place}>{escape(said)}</text>"
