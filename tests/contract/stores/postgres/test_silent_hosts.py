"""A host of PostgreSQL that is there and says nothing hides none of the others, wherever in the URL it stands and whatever connects."""

import asyncio
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from asyncpg import connect_utils

from cluster.ports import free_port
from holdfast.errors import StoreUnavailable
from holdfast.messages.answers import Enqueued
from holdfast.messages.frame import Refused
from holdfast.messages.queries import ListQueues
from holdfast.stores.postgres import transfer
from holdfast.stores.postgres.doctor import judge
from holdfast.stores.postgres.examine import examine
from holdfast.stores.postgres.hosts import CONNECT_S, hosts
from holdfast.stores.postgres.maintenance import check
from holdfast.stores.postgres.store import SILENT_S
from tests.system.whole.servers import Server

pytestmark = pytest.mark.long(40)

SOON_S = CONNECT_S - 1  # less than what a host that says nothing costs when it is waited for
PLACES = range(3)


@contextmanager
def listening(answer):
    """A port of loopback on which `answer` deals with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = []

        def serve():
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    taken.append(connection)
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for connection in taken:
                connection.close()
            thread.join(5)


@contextmanager
def refusing():
    yield free_port()


ODD = {
    "takes the connection and says nothing": lambda: listening(lambda connection: None),
    "closes at once": lambda: listening(lambda connection: connection.close()),
    "speaks something else": lambda: listening(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    "says yes to TLS and then nothing": lambda: listening(lambda connection: connection.sendall(b"S")),
    "refuses": refusing,
}


def url_of(*ports):
    return f"postgresql://holdfast@{','.join(f'127.0.0.1:{port}' for port in ports)}/holdfast"


def with_place(group, port, place):
    """A URL of three: the primary, a standby, and this port at this place."""
    ports = [group.primary.port, group.standbys[0].port]
    if place == 0:
        ports.reverse()
    ports.insert(place, port)
    return url_of(*ports)


async def everything(url, node):
    """All that connects, one after the other; how long each took."""
    took = {}

    async def timed(what, awaitable):
        began = time.monotonic()
        answer = await awaitable
        took[what] = time.monotonic() - began
        return answer

    one = node(0, url)
    assert isinstance(await timed("write", one.put()), Enqueued)
    await timed("look at the standbys", one.store.tend())
    assert one.store.health().accepting
    found = await timed("read", one.store.read(ListQueues(10), one.store.clock.now()))
    assert [info.name for info in found.queues] == ["q"]
    assert await timed("check", check(url)) == []
    facts = await timed("doctor", examine(url))
    assert not facts.in_recovery
    with pytest.raises(transfer.CantMove, match="in use"):
        await timed("move", transfer.check_free(url, 0))
    return took


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ODD)
async def test_a_host_that_is_none_hides_no_other(group, node, kind, place):
    with ODD[kind]() as port:
        took = await everything(with_place(group, port, place), node)
    assert {what: seconds for what, seconds in took.items() if seconds > SOON_S} == {}


@pytest.mark.parametrize("place", PLACES)
async def test_a_frozen_standby_hides_no_other(group, node, place):
    frozen = group.standbys[1]
    frozen.pause()
    took = await everything(with_place(group, frozen.port, place), node)
    assert {what: seconds for what, seconds in took.items() if seconds > SOON_S} == {}


@pytest.mark.parametrize("place", PLACES)
def test_a_server_starts_and_is_ready_while_a_standby_is_frozen(group, tmp_path, place):
    frozen = group.standbys[1]
    frozen.pause()
    began = time.monotonic()
    server = Server(tmp_path, "--store", with_place(group, frozen.port, place), "--replicas", "1").launch()
    try:
        server.out.wait_for("Jobs are kept")
        assert time.monotonic() - began < 10
    finally:
        server.destroy()


async def test_where_no_host_can_be_used_it_is_told_within_the_bound_what_came_of_each(group):
    with ODD["takes the connection and says nothing"]() as silent, ODD["refuses"]() as closed:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable) as told:
            await check(url_of(silent, closed, group.standbys[0].port))
    assert time.monotonic() - began < CONNECT_S + 1
    said = told.value.detail
    for part in (
        "1 of 3 hosts: takes no writes",
        f"1 of 3 hosts: no answer within {CONNECT_S:g} s",
        "1 of 3 hosts: Connection",
    ):
        assert part in said
    assert str(silent) not in said


async def test_the_doctor_names_the_host_that_says_nothing(group):
    with ODD["takes the connection and says nothing"]() as silent:
        facts = await examine(with_place(group, silent, 0))
    assert facts.silent == (f"127.0.0.1:{silent}",)
    found = {finding.code: finding for finding in judge(facts, 1)}
    assert str(silent) in found["host_silent"].seen
    assert not found["host_silent"].breaks


async def test_what_somebody_has_to_mend_is_told_first(group):
    group.primary.sql("ALTER ROLE holdfast CONNECTION LIMIT 0")
    try:
        with ODD["refuses"]() as closed, pytest.raises(StoreUnavailable, match=r"TooManyConnections.*; 1 of 2 hosts: Conn"):
            await check(url_of(closed, group.primary.port))
    finally:
        group.primary.sql("ALTER ROLE holdfast CONNECTION LIMIT -1")


async def test_a_batch_is_not_held_for_longer_than_is_stated_by_a_primary_that_has_stopped(group, node):
    one = node(0)
    assert isinstance(await one.put(), Enqueued)
    one.backend._ticker.start()
    try:
        group.primary.pause()
        began = time.monotonic()
        put = await one.put()
        assert isinstance(put, Refused)
        assert put.code in ("store_unavailable", "outcome_unknown")
        assert time.monotonic() - began < SILENT_S + 6
        assert not one.store.health().accepting
    finally:
        group.primary.resume()
        await one.backend._ticker.stop()
    async with asyncio.timeout(15):
        while isinstance(await one.put(), Refused):  # noqa: ASYNC110  (only asking tells)
            await asyncio.sleep(0.1)


URLS = [
    "postgresql://u@a/d",
    "postgresql://u@a:1/d",
    "postgresql://u@a,b,c/d",
    "postgresql://u@a:1,b,c:3/d",
    "postgresql://u:p%40w@a:1,b:2/d?target_session_attrs=any&sslmode=disable",
    "postgresql://u@[::1]:1,[fe80::1],b/d",
    "postgresql://a,b",
    "postgresql://u@%2Ftmp/d",
    "postgres://u:with,comma@a,b:7/d",
    "postgresql:///d?host=a,b&port=1,2&user=u",
    "postgresql:///d?host=a,b&port=9&user=u",
    "postgresql:///d?host=a:5,b&user=u",
    "postgresql:///d?host=/tmp,b&user=u",
]


@pytest.mark.parametrize("port", [None, "7777"])
@pytest.mark.parametrize("url", URLS)
def test_the_hosts_of_a_url_are_those_that_the_driver_reads(monkeypatch, url, port):
    monkeypatch.delenv("PGHOST", raising=False)
    monkeypatch.delenv("PGPORT", raising=False)
    if port is not None:
        monkeypatch.setenv("PGPORT", port)
    assert places(url) == [place for host in hosts(url) for place in places(url, host.name, host.port)]


@pytest.mark.parametrize("named", ["a", "a,b", "a:1,b:2"])
def test_hosts_of_the_environment_count_where_the_url_names_none(monkeypatch, named):
    monkeypatch.setenv("PGHOST", named)
    monkeypatch.delenv("PGPORT", raising=False)
    url = "postgresql:///d?user=u"
    assert places(url) == [place for host in hosts(url) for place in places(url, host.name, host.port)]


def places(url, host=None, port=None):
    """The driver's own reading."""
    names = "user password passfile database ssl service servicefile direct_tls server_settings target_session_attrs krbsrvname gsslib"
    options = dict.fromkeys(names.split())
    numbers = {"command_timeout": None, "statement_cache_size": 1}
    numbers |= {"max_cached_statement_lifetime": 1, "max_cacheable_statement_size": 1}
    addresses, _, _ = connect_utils._parse_connect_arguments(dsn=url, host=host, port=port, **options, **numbers)
    return addresses
