"""Servers that end with their test, whatever it does."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.whole.servers import Server

Serve = Callable[..., Server]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder that the server is started in."""
    return tmp_path / "home"


@pytest.fixture
def serving(home: Path) -> Iterator[Serve]:
    """Makes servers, by default in `home`; none of their processes outlives the test."""
    made: list[Server] = []

    def serve(*options: str, at: Path = home, **more: Any) -> Server:
        made.append(Server(at, *options, **more))
        return made[-1]

    yield serve
    for server in made:
        if hasattr(server, "process"):
            server.destroy()


@pytest.fixture
def serve(serving: Serve) -> Serve:
    """Starts servers, see `serving`."""
    return lambda *options, **more: serving(*options, **more).start()
