"""The documentation as a reader of Markdown sees it: fenced blocks, headings, links and table rows."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("examples/**/*.md")),
]

_FENCE = re.compile(r"^```(\w*)$(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line on which it begins."""

    language: str
    text: str
    line: int


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
    return [Block(found[1], found[2].strip("\n"), text.count("\n", 0, found.start()) + 1) for found in _FENCE.finditer(text)]


def block(text: str, language: str) -> str:
    """The only block of a language."""
    (found,) = [block for block in blocks(text) if block.language == language]
    return found.text


def prose(text: str) -> str:
    """The text without fenced blocks."""
    return _FENCE.sub("", text)


def links(text: str) -> list[str]:
    return _LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
    """What the headings can be linked by, as GitHub makes it of them."""
    heads = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def rows(text: str) -> Iterator[list[str]]:
    """The rows of all tables, cell by cell."""
    for line in text.splitlines():
        if line.startswith(("| ", "|-")):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def spans(text: str) -> set[str]:
    """The code spans of a text."""
    return set(re.findall(r"`([^`\n]+)`", prose(text)))
