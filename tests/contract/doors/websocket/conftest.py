"""The servers of the HTTP door's tests, and channels to them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.contract.doors.rest.conftest import Server, api, queue, queues, serve, server, start  # noqa: F401  (fixtures)
from tests.contract.doors.websocket.channel import ChannelClient, open_channel


@pytest.fixture
def channel(server: Server) -> Iterator[Callable[..., ChannelClient]]:  # noqa: F811  (the fixture above)
    """Opens channels to the shared server, or to the one of a URL; they close with the test."""
    with ExitStack() as stack:
        yield lambda url=None, **options: stack.enter_context(open_channel(url or server.url, **options))


@pytest.fixture
def worker(channel: Callable[..., ChannelClient]) -> ChannelClient:
    """One channel."""
    return channel()
