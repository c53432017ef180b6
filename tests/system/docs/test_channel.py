"""The conversation on the page of the live channel is what a worker and a server say to one another."""

import json
import re
from collections.abc import Callable
from typing import Any

from websockets.sync.client import connect

from tests.system.docs.conftest import Running
from tests.system.docs.examples import differences
from tests.system.docs.pages import block, read

_TOKEN = re.compile(r'"token": ?"([^"]+)"')


def test_the_conversation_of_the_page_goes_as_it_is_shown(running: Running):
    lines = block(read("docs/channel.md"), "text").splitlines()
    assert {line[:2] for line in lines} == {"> ", "< "}
    tokens: dict[str, str] = {}
    heard: list[dict[str, Any]] = []

    def as_here(found: re.Match[str]) -> str:
        return f'"token": "{tokens[found[1]]}"'

    with connect(running.url.replace("http", "ws") + "/v1/channel") as channel:
        for line in lines:
            if line.startswith(">"):
                channel.send(_TOKEN.sub(as_here, line[2:]))
                continue
            shown = json.loads(line[2:])
            got = next_like(shown, heard, lambda: json.loads(channel.recv(20)))
            assert not differences(shown, got)
            tokens |= zip(_TOKEN.findall(line), _TOKEN.findall(json.dumps(got)), strict=True)
    assert not heard


def next_like(shown: dict[str, Any], heard: list[dict[str, Any]], more: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The message of this kind and reference; answers may come out of order."""
    while True:
        for n, message in enumerate(heard):
            if (message["op"], message.get("ref")) == (shown["op"], shown.get("ref")):
                return heard.pop(n)
        heard.append(more())
