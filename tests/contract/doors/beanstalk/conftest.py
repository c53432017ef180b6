"""Holdfast and Debian's beanstalkd, each started once, and the port of either."""

import itertools
from collections.abc import Iterator

import pytest

from tests.contract.doors.beanstalk.script import Client, debians, serving, tube_port
from tests.system.whole.servers import Server

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The Holdfast that these tests share, on SQLite."""
    with serving(tmp_path_factory.mktemp("beanstalk")) as shared:
        yield shared


@pytest.fixture(autouse=True)
def nothing_is_left_in_the_tube_of_all(request: pytest.FixtureRequest) -> Iterator[None]:
    """Who names no tube uses and watches `default`: a job that a test leaves there is another test's surprise."""
    yield
    if "server" in request.fixturenames:
        asking = Client(tube_port(request.getfixturevalue("server")))
        assert (
            asking.ask(b"peek-ready\r\n") == asking.ask(b"peek-delayed\r\n") == asking.ask(b"peek-buried\r\n") == b"NOT_FOUND"
        )
        asking.close()


@pytest.fixture(scope="session")
def beanstalkd() -> Iterator[int]:
    with debians() as port:
        yield port


@pytest.fixture(params=["holdfast", "beanstalkd"])
def port(request: pytest.FixtureRequest) -> int:
    """Each test that asks for this runs at both."""
    if request.param == "beanstalkd":
        return request.getfixturevalue("beanstalkd")
    return tube_port(request.getfixturevalue("server"))


@pytest.fixture
def tube() -> str:
    """A tube that no other test uses."""
    return f"t{next(_NUMBERS)}"


@pytest.fixture
def client(server: Server, tube: str) -> Iterator[Client]:
    """A client of Holdfast with a tube of its own."""
    client = Client(tube_port(server), tube)
    yield client
    client.close()
