"""Counts what a story takes: the presses in a browser or the commands in a shell, and the seconds that the product takes for them.

A press is a click, a key, or a field that is filled in, however long what is typed. The seconds are those in which the operator waits; reading and
deciding are not counted, and neither is what happens in the world meanwhile, such as a deploy (`aside`).

The counts stand in a table of docs/page.md, and a story that takes more or fewer fails. With STORIES_LOG, each adds a line to that file.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import Locator, expect

from tests.contract.cli.shell import call

ROOT = Path(__file__).parents[3]
WITHIN_S = 30.0


def published() -> dict[str, tuple[int, int]]:
    """Each story of the table, with its presses and its commands."""
    page = (ROOT / "docs" / "page.md").read_text()
    rows = re.findall(r"^\| (\d+[a-c]?) ([^|]+?) \| (\d+) in [\d.]+ s \| (\d+) in [\d.]+ s \|", page, re.MULTILINE)
    return {number: (int(presses), int(commands)) for number, _, presses, commands in rows}


def alert(name: str, **labels: str) -> str:
    """The screen that an alert links to."""
    for file in sorted((ROOT / "deploy" / "prometheus").glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                if rule["alert"] == name:
                    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], rule["annotations"]["page"])
    raise AssertionError(f"there is no alert {name}")


class Steps:
    """How many, and how long."""

    def __init__(self) -> None:
        self.count = 0
        self._since = time.monotonic()
        self._aside_s = 0.0

    @property
    def seconds(self) -> float:
        """Since the story began, without what was aside."""
        return time.monotonic() - self._since - self._aside_s

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What the operator does not wait for."""
        began = time.monotonic()
        yield
        self._aside_s += time.monotonic() - began

    def end(self, story: str, column: int) -> None:
        """Compare with the table."""
        seconds = self.seconds
        if path := os.environ.get("STORIES_LOG"):
            with Path(path).open("a") as log:
                log.write(
                    json.dumps({"story": story, "column": column, "count": self.count, "seconds": round(seconds, 1)}) + "\n"
                )
        assert self.count == published()[story][column], "docs/page.md has another number"


class Walk(Steps):
    """In a browser."""

    def __init__(self, page: Any) -> None:
        super().__init__()
        self.page = page

    def click(self, target: Locator) -> None:
        """One press."""
        self.count += 1
        target.click()

    def link(self, name: str, *, within: Any = None, exact: bool = True) -> None:
        """Follow a link."""
        self.click((within or self.page).get_by_role("link", name=name, exact=exact))

    def button(self, name: str, *, within: Any = None, exact: bool = True) -> None:
        """Press a button."""
        self.click((within or self.page).get_by_role("button", name=name, exact=exact))

    def key(self, name: str) -> None:
        """Press a key."""
        self.count += 1
        self.page.keyboard.press(name)

    def type(self, target: Locator, text: str) -> None:
        """Fill in a field."""
        self.count += 1
        target.fill(text)

    def see(self, text: str | re.Pattern[str], *, within: Any = None) -> None:
        """It is on the screen, by now or soon."""
        expect((within or self.page.locator("main")).get_by_text(text).first).to_be_visible()

    def end_of(self, story: str) -> None:
        """The end of the story."""
        self.end(story, 0)


class Shell(Steps):
    """On a command line."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__()
        self._url = url
        self._folder = folder

    def __call__(self, *words: Any) -> str:
        """One command; what it printed."""
        self.count += 1
        done: subprocess.CompletedProcess[str] = call(self._url, self._folder, *words)
        assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def end_of(self, story: str) -> None:
        """The end of the story."""
        self.end(story, 1)


def row(table: str, *words: str) -> dict[str, str]:
    """The line of a printed table that has these words, by its headings."""
    lines = table.splitlines()
    while not lines[0].isupper():  # what is said before it
        del lines[0]
    starts = [found.start() for found in re.finditer(r"(?:(?<=  )|^)\S", lines[0])]
    names = [lines[0][start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
    for line in lines[1:]:
        if all(word in line for word in words):
            return dict(
                zip(
                    names,
                    (line[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)),
                    strict=True,
                )
            )
    raise AssertionError(f"no line with {words} in\n{table}")
