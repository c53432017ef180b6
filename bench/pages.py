"""What a run writes: a page for people and a file for machines, and for the usual run a picture."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from bench import databasepage, flowpage, lonepage, pythonpeerspage
from bench.chart import svg
from bench.goals import DATABASE_GOALS, GOALS, LONE_GOALS, PYTHON_GOALS, Goal, Verdict, judge
from bench.report import markdown
from bench.summary import Report


class Page(msgspec.Struct, frozen=True):
    """One kind of page: the name of its files, its goals, and how it is written."""

    file: str
    goals: list[Goal]
    written: Callable[[Report, list[Verdict]], str]
    picture: bool = False


LATEST = Page("latest", GOALS, lambda report, verdicts: markdown(report, verdicts, "latest.svg"), picture=True)
POSTGRESQL = Page("postgresql", DATABASE_GOALS, databasepage.markdown)
LONE = Page("lone", LONE_GOALS, lonepage.markdown)
FLOW = Page("flow", [], flowpage.markdown)
FLOW_POSTGRESQL = Page("flow-postgresql", [], flowpage.markdown)
PYTHON_PEERS = Page("python-peers", PYTHON_GOALS, pythonpeerspage.markdown)


def write(page: Page, report: Report, out: Path, add: bool) -> None:
    """Write them into a folder; with `add`, what the file there has and was not measured now is kept."""
    out.mkdir(parents=True, exist_ok=True)
    text, picture, data = (out / f"{page.file}.{kind}" for kind in ("md", "svg", "json"))
    if add and data.exists():
        report = report.added_to(msgspec.json.decode(data.read_bytes(), type=Report))
    verdicts = judge(report, page.goals)
    text.write_text(page.written(report, verdicts))
    if page.picture:
        picture.write_text(svg(report, verdicts))
    data.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
