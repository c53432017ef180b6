"""A page that says of something that it is not there is held to it: when it comes, the page has to go with the times.

A route, a flag and a command are looked up in the program itself. Each other thing that a page may deny stands here with a way to find out
whether the program has it. Whoever denies another thing adds it.
"""

import json
import re
import urllib.request
from collections.abc import Iterator

import click
import pytest

from holdfast.cli.entry import main
from tests.system.docs.conftest import Running
from tests.system.docs.pages import PAGES, ROOT, prose

_NOT_YET = r"not (?:there )?yet\b|\bplanned\b|not in this version|\blacks\b|in a later version|will come"
DENIAL = re.compile(
    _NOT_YET + r"|\bmissing:|is published: missing",
    re.IGNORECASE,
)
NO_DENIAL = re.compile(r"Not yet sure|by key: done / not yet|the role lacks|a standby that lacks")
# What may deny a thing that is named in the same sentence.
OF_A_NAME = re.compile(
    _NOT_YET
    + r"|\bnot (?:supported|implemented|available|offered)\b|\bunsupported\b|\b(?:is|are|has|have|knows?) no (?:\w+ ){0,2}`"
    + r"|` (?:\w+ )?(?:is|are) (?:not there|missing|not known)\b|\bdoes not (?:exist|have|know|take) (?:\w+ ){0,2}`|` does not exist",
    re.IGNORECASE,
)
HISTORY = ("CHANGELOG.md", "docs/adr/")  # they say what was so at their time


def _routes(running: Running) -> set[str]:
    with urllib.request.urlopen(f"{running.url}/openapi.json") as answer:
        return set(json.load(answer)["paths"])


def _has_another_client(running: Running) -> bool:
    return any((ROOT / name).exists() for name in ("package.json", "clients", "go.mod", "client-js"))


# What a sentence with a denial says, and whether the program has it all the same.
THINGS = {
    "client libraries for other languages": _has_another_client,
}


def _sentences(text: str) -> Iterator[str]:
    for part in re.split(r"(?<=[.!?])\s+|\n\n|\n(?=[|#-])", prose(text)):
        yield " ".join(part.split())


def _said() -> Iterator[tuple[str, str]]:
    """Each page and each of its sentences, but for the pages that say what was so at their time."""
    for page in PAGES:
        name = page.relative_to(ROOT).as_posix()
        if not name.startswith(HISTORY):
            for sentence in _sentences(page.read_text(encoding="utf-8")):
                yield name, sentence


def _denials() -> list[tuple[str, str]]:
    return [(page, said) for page, said in _said() if DENIAL.search(said) and not NO_DENIAL.search(said)]


def _commands(group: click.Group, name: str = "holdfast") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for each in group.list_commands(context):
        command = group.get_command(context, each)
        assert command is not None
        yield f"{name} {each}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{name} {each}")


class There:
    """What the program has by name: routes, flags and commands."""

    def __init__(self, running: Running) -> None:
        self.routes = [re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(route))) for route in _routes(running)]
        commands = dict(_commands(main))
        self.commands = set(commands)
        options = [option for command in commands.values() for param in command.params for option in param.opts]
        self.flags = {option for option in options if option.startswith("--")}

    def named_in(self, sentence: str) -> list[str]:
        """Those that a sentence names in its code spans."""
        found = []
        for span in re.findall(r"`([^`]+)`", sentence):
            words = span.split()
            paths = [word.partition("?")[0] for word in words if word.startswith("/")]
            found += [path for path in paths if any(route.fullmatch(path) for route in self.routes)]
            found += [word for word in (word.partition("=")[0] for word in words) if word in self.flags]
            found += [part for n in (3, 2) if (part := " ".join(words[:n])) in self.commands][:1]
        return found

    def denied_by(self, sentence: str) -> list[str]:
        """Those that a sentence denies."""
        return self.named_in(sentence) if OF_A_NAME.search(sentence) and not NO_DENIAL.search(sentence) else []


def test_what_a_page_says_is_not_there_is_known_here():
    assert _denials(), "the pages say that there are no other client libraries"
    unknown = [(page, sentence) for page, sentence in _denials() if not any(thing in sentence for thing in THINGS)]
    assert not unknown


@pytest.mark.parametrize("thing", THINGS)
def test_no_page_says_that_something_is_not_there_which_is(running: Running, thing: str):
    denied = [page for page, sentence in _denials() if thing in sentence]
    assert denied, "nobody denies it any more: take it out of the list"
    assert not THINGS[thing](running), f"it is there, and denied by {denied}"


def test_no_page_denies_a_route_a_flag_or_a_command_that_is_there(running: Running):
    there = There(running)
    assert {"/v1/leases", "--fronts", "holdfast job push"} <= set(
        there.named_in("`POST /v1/leases`, `holdfast serve --fronts 2` and `holdfast job push`")
    )
    wrong = [(page, said, denied) for page, said in _said() if (denied := there.denied_by(said))]
    assert not wrong
    for said, denied in {
        "`POST /v1/jobs/7/move` is not there yet.": ["/v1/jobs/7/move"],
        "There is no `--fronts`.": ["--fronts"],
        "The server has no flag `--store=URL`.": ["--store"],
        "On PostgreSQL, `holdfast move` is not supported.": ["holdfast move"],
        "`holdfast queue purge` will come.": ["holdfast queue purge"],
        "There is no `--teleport`, and `POST /v2/jobs` is not there.": [],
        "`POST /v1/leases` answers when there are jobs.": [],
    }.items():
        assert there.denied_by(said) == denied, said
