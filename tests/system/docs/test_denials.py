"""A page that says of something that it is not there is held to it: when it comes, the page has to go with the times.

Each thing that a page may deny stands here with a way to find out whether the program has it. Whoever denies another thing adds it.
"""

import json
import re
import urllib.request

import pytest

from holdfast.cli.entry import SERVER, TALKING
from tests.system.docs.conftest import Running
from tests.system.docs.pages import PAGES, ROOT, prose

DENIAL = re.compile(
    r"not (?:there )?yet\b|\bplanned\b|not in this version|\blacks\b|\bmissing:|there (?:is|are) no access|no access keys"
    r"|is published: missing|in a later version|will come",
    re.IGNORECASE,
)
NO_DENIAL = re.compile(r"Not yet sure|by key: done / not yet|It has what Holdfast lacks|the role lacks|a standby that lacks")
HISTORY = ("CHANGELOG.md", "docs/adr/")  # they say what was so at their time


def _routes(running: Running) -> set[str]:
    with urllib.request.urlopen(f"{running.url}/openapi.json") as answer:
        return set(json.load(answer)["paths"])


def _has_keys(running: Running) -> bool:
    return "key" in {*TALKING, *SERVER} or any(re.search(r"/keys?\b", path) for path in _routes(running))


def _has_another_client(running: Running) -> bool:
    return any((ROOT / name).exists() for name in ("package.json", "clients", "go.mod", "client-js"))


def _publishes_images(running: Running) -> bool:
    return any("docker" in path.read_text() for path in ROOT.glob(".github/workflows/*.yml"))


# What a sentence with a denial says, and whether the program has it all the same.
THINGS = {
    "access keys": _has_keys,
    "client libraries for other languages": _has_another_client,
    "no image is published": _publishes_images,
}


def _denials() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        name = page.relative_to(ROOT).as_posix()
        if not name.startswith(HISTORY):
            for part in re.split(r"(?<=[.!?])\s+|\n\n|\n(?=[|#-])", prose(page.read_text(encoding="utf-8"))):
                sentence = " ".join(part.split())
                if DENIAL.search(sentence) and not NO_DENIAL.search(sentence):
                    found.append((name, sentence))
    return found


def test_what_a_page_says_is_not_there_is_known_here():
    assert _denials(), "the pages say of keys that there are none"
    unknown = [(page, sentence) for page, sentence in _denials() if not any(thing in sentence for thing in THINGS)]
    assert not unknown


@pytest.mark.parametrize("thing", THINGS)
def test_no_page_says_that_something_is_not_there_which_is(running: Running, thing: str):
    denied = [page for page, sentence in _denials() if thing in sentence]
    assert denied, "nobody denies it any more: take it out of the list"
    assert not THINGS[thing](running), f"it is there, and denied by {denied}"


def test_a_page_that_denied_a_route_that_exists_would_be_found(running: Running):
    """The ways to find out do find what is there."""
    assert any(re.search(r"/leases\b", path) for path in _routes(running))
    assert {"job", "serve"} <= {*TALKING, *SERVER}
