"""The pytest plugin: the fixture `holdfast_server`. Loaded in every run of pytest where Holdfast is installed, so it imports nothing
until it is used.
"""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from holdfast.testing.remote import Command
    from holdfast.testing.server import TestServer

_OPTION = "holdfast_server"
_VARIABLE = "HOLDFAST_TEST_SERVER"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the server is."""
    parser.addini(
        _OPTION, f"command of a Holdfast with its server, for the fixture {_OPTION}; {_VARIABLE} goes before it", default=""
    )


@pytest.fixture(scope="session")
def _holdfast_command(pytestconfig: pytest.Config) -> "Iterator[Command | None]":
    """The process of another environment that serves tests; None: they are served in this process."""
    command = os.environ.get(_VARIABLE) or pytestconfig.getini(_OPTION)
    if not command:
        if find_spec("apsw") is None or find_spec("uvloop") is None:
            pytest.fail(
                f"the fixture {_OPTION} needs a server: install holdfast-queue[server], here or in an environment of its own and "
                f"name its command, {_OPTION} = /srv/holdfast/bin/holdfast in pytest.ini or {_VARIABLE}",
                pytrace=False,
            )
        yield None
        return
    from holdfast.testing.remote import Command  # noqa: PLC0415

    process = Command(command)
    yield process
    process.close()


@pytest.fixture
def holdfast_server(_holdfast_command: "Command | None", monkeypatch: pytest.MonkeyPatch) -> "Iterator[TestServer]":
    """A Holdfast server of this test's own, empty, in memory: `url`, `client`, `drain(worker)`, `advance(seconds)`, `now`.

    `HOLDFAST_URL` names it, so code under test that makes a `Client()` or a `Worker(...)` without a URL finds it.
    """
    if _holdfast_command is None:
        from holdfast.testing import LocalServer  # noqa: PLC0415

        made: TestServer = LocalServer()
    else:
        from holdfast.testing.remote import RemoteServer  # noqa: PLC0415

        made = RemoteServer(_holdfast_command)
    with made as server:
        monkeypatch.setenv("HOLDFAST_URL", server.url)
        monkeypatch.delenv("HOLDFAST_TOKEN", raising=False)
        yield server


@pytest.fixture
def holdfast(holdfast_server: "TestServer") -> "TestServer":
    """The fixture `holdfast_server` by its name of version 0.1.0, which hides the module `holdfast` in a test."""
    return holdfast_server
