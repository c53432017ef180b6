"""Each page as Markdown beside its HTML, and `llms.txt`, which lists them (https://llmstxt.org)."""

import re
from pathlib import Path

from website.pages import PARTS

_HEAD = re.compile(r"^# (.+)$", re.MULTILINE)
_ABOUT = "A work queue server: producers enqueue jobs over HTTP, workers lease them and conclude the leases. An answer means that the job is kept."


def write(pages: dict[str, str], out: Path) -> None:
    """Write the twins of `pages` (place → text) and `llms.txt`."""
    for place, text in pages.items():
        (out / f"{place}.md").write_text(text.partition("\n```{toctree}")[0], encoding="utf-8")
    lines = ["# Holdfast", "", f"> {_ABOUT}", ""]
    for part, places in PARTS.items():
        lines += [f"## {part}", "", *(f"- [{_title(pages[place])}]({place}.md)" for place in places), ""]
    (out / "llms.txt").write_text("\n".join(lines), encoding="utf-8")


def _title(text: str) -> str:
    found = _HEAD.search(text)
    assert found is not None, "a page has a title"
    return found[1]
