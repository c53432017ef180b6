"""Every block of the guides is run: what a guide starts, what it has its reader type and write, and what it says comes of it.

A `console` block is the command that starts the server of the guide. The ports that a guide names are those of this run.
The configurations of the guide about proxies are run by `test_proxies.py`. The guide for a network starts its server itself, in the background.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.ports import free_port
from tests.system.docs.conftest import Running
from tests.system.docs.examples import check, files, run, steps
from tests.system.docs.pages import ROOT, Block, blocks, read
from tests.system.whole.machine import need

pytestmark = pytest.mark.long(40)

GUIDES = sorted(page.relative_to(ROOT).as_posix() for page in ROOT.glob("docs/guides/*.md") if page.name != "README.md")
PROXIED = "docs/guides/behind-a-proxy.md"
NETWORK = "docs/guides/on-a-network.md"
_START = re.compile(r"\$ (?:make run|holdfast serve((?: --?[\w-]+(?: [^-\s]\S*)?)*))")
_TUBES = "11300"


def started_with(page: list[Block]) -> list[str]:
    """The options that a guide starts its server with."""
    (console,) = [block for block in page if block.language == "console"]
    found = _START.fullmatch(console.text)
    assert found, console.text
    return (found[1] or "").split()


@pytest.mark.parametrize("guide", [guide for guide in GUIDES if guide not in (PROXIED, NETWORK)])
def test_a_guide_can_be_followed_and_prints_what_it_shows(guide: str, serve: Callable[..., Running]):
    need("curl", "jq", "nc")
    port = str(free_port())
    page = blocks(read(guide).replace(_TUBES, port))
    running = serve(*started_with(page))
    assert not compared(guide, page, running)


def test_the_guide_for_a_network_lets_in_who_has_a_key_and_prints_what_it_shows(tmp_path: Path):
    need("curl", "jq", "openssl")
    port = str(free_port())
    page = blocks(read(NETWORK).replace("jobs.example:4653", f"127.0.0.1:{port}"))
    assert not compared_in(tmp_path, NETWORK, page, "", HOLDFAST_PORT=port)
    assert "hf_" not in (tmp_path / "server.log").read_text()


def compared(guide: str, page: list[Block], running: Running, **environment: str) -> str:
    """What is wrong with the examples of a guide; nothing when all is well."""
    return compared_in(running.folder, guide, page, running.url, **environment)


def compared_in(folder: Path, guide: str, page: list[Block], url: str, **environment: str) -> str:
    """The same, in this folder."""
    for name, text in files(page).items():
        (folder / name).write_text(text + "\n")
    examples = steps(page)
    assert examples
    printed = run([script.text for script, _ in examples], folder, url, **environment)
    wrong = [
        f"{guide}:{script.line}: {line}"
        for (script, shown), text in zip(examples, printed, strict=True)
        if shown is not None
        for line in check(shown, text)
    ]
    return "\n  ".join(["", *wrong]) if wrong else ""


@pytest.mark.parametrize("guide", GUIDES)
def test_no_block_of_a_guide_is_only_looked_at(guide: str):
    page = blocks(read(guide))
    run_or_compared = [block for pair in steps(page) for block in pair if block is not None]
    for block in page:
        if block.language == "python":
            assert block.text in files(page).values(), f"{guide}:{block.line} is no file"
        elif block.language in ("nginx", "haproxy"):
            assert guide == PROXIED
        elif block.language != "console":
            assert block in run_or_compared, f"{guide}:{block.line} is neither run nor compared"
    written = " ".join(block.text for block in page if block.language == "sh")
    assert not [name for name in files(page) if name not in written]


def test_the_index_has_every_guide_and_the_readme_leads_to_it():
    index = read("docs/guides/README.md")
    assert not [guide for guide in GUIDES if f"]({Path(guide).name})" not in index]
    assert "](docs/guides/README.md)" in read("README.md")
