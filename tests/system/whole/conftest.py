"""Servers that end with their test, whatever it does."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.whole.servers import Server

Serve = Callable[..., Server]
LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), Path("libfaketime is not installed"))


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


class Clock:
    """The clock of servers that are started with `env`: called with seconds, it is so far from the real time."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.env = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # else no wait for Python's lock lasts, and threads that take turns use all of a processor
        }
        self(0)

    def __call__(self, seconds: float) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+.0f}\n")
        fresh.rename(self._file)  # at once: never half a line


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """A clock that a test can set."""
    return Clock(tmp_path)
