"""The pytest plugin: the fixture `holdfast`. Loaded in every run of pytest where Holdfast is installed, so it imports nothing
until it is used.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from holdfast.testing.local import LocalServer


@pytest.fixture
def holdfast(monkeypatch: pytest.MonkeyPatch) -> "Iterator[LocalServer]":
    """A Holdfast server of this test's own, empty, in memory: `url`, `client`, `drain(worker)`, `advance(seconds)`, `now`.

    `HOLDFAST_URL` names it, so code under test that makes a `Client()` or a `Worker(...)` without a URL finds it.
    """
    from holdfast.testing import LocalServer  # noqa: PLC0415

    with LocalServer() as server:
        monkeypatch.setenv("HOLDFAST_URL", server.url)
        monkeypatch.delenv("HOLDFAST_TOKEN", raising=False)
        yield server
