"""The client of beanstalkd's protocol: what it records in the history for each reply, and for a missing one."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from torture.history import History
from torture.tubes import TubeClient

READY = [b"WATCHING 2\r\n", b"WATCHING 1\r\n"]  # the replies to `watch` and `ignore`
STATS = b'OK 67\r\n---\nid: 7\ntube: "wide"\nstate: reserved\nttr: 1\nreserves: 3\nx: 12345\n\r\n'
RESERVED = [b'RESERVED 7 12\r\n{"v":"mine"}\r\n', STATS, b"TOUCHED\r\n"]


@asynccontextmanager
async def told(*replies: bytes):
    """A client of a server that answers each command with the next of these, and disconnects after the last."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in (*READY, *replies):
            line = await reader.readline()
            if line.startswith(b"put "):
                await reader.readline()
            seen.append(line)
            writer.write(reply)
        await reader.readline()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    history = History()
    client = TubeClient("tubes", history, listener.sockets[0].getsockname()[1], 5.0, ("wide",))
    try:
        yield client, history
    finally:
        client.close()
        listener.close()


def written(history: History) -> list[tuple[str, str, int | None, str | None]]:
    return [(call.verb, call.outcome, call.status, call.code) for call in history.calls]


async def test_a_reserved_job_is_a_claim_with_its_attempt_and_a_lease():
    async with told(*RESERVED) as (client, history):
        call = await client.reserve(0)
    assert call.answer == {
        "jobs": [{"id": 7, "queue": "wide", "value": "mine", "attempt": 3, "token": "tube.7.3", "ms_left": 1000}]
    }
    assert history.digest.leases["tube.7.3"].attempt == 3


@pytest.mark.parametrize("last", [b"NOT_FOUND\r\n", b"OUT_OF_MEMORY\r\n", b"INTERNAL_ERROR\r\n", b""])
async def test_a_job_that_may_be_lost_before_its_attempt_is_known_is_no_claim_and_is_dropped(last):
    async with told(*RESERVED[:2], *([last] if last else [])) as (client, _):
        call = await client.reserve(0)
        assert not call.done
        assert not client.wire.open, "what it may hold goes back"


@pytest.mark.parametrize(
    ("reply", "outcome", "status", "code"),
    [
        (b"INSERTED 9\r\n", "ok", 200, None),
        (b"OUT_OF_MEMORY\r\n", "fail", 507, "storage_full"),
        (b"DRAINING\r\n", "fail", 503, "draining"),
        (b"INTERNAL_ERROR\r\n", "info", 503, "outcome_unknown"),
        (b"BURIED 9\r\n", "ok", 200, None),
        (b"NONSENSE\r\n", "info", 500, "NONSENSE"),
        (b"", "info", None, "broken"),
    ],
)
async def test_the_outcome_of_a_put_follows_from_its_reply(reply, outcome, status, code):
    async with told(b"USING wide\r\n", *([reply] if reply else [])) as (client, history):
        await client.put("wide", {"queue": "wide", "payload": {"v": "mine"}})
    assert written(history) == [("submit", outcome, status, code)]


async def test_a_delete_in_time_concludes_and_a_late_or_lost_one_may_have_removed_the_job():
    loop = asyncio.get_running_loop()
    for reply, until, expected in (
        (b"DELETED\r\n", loop.time() + 60, [("conclude", "ok")]),
        (b"DELETED\r\n", loop.time() - 1, [("conclude", "info"), ("delete", "info")]),
        (b"NOT_FOUND\r\n", loop.time() + 60, [("conclude", "fail")]),
        (b"", loop.time() + 60, [("conclude", "info"), ("delete", "info")]),
    ):
        async with told(*RESERVED, *([reply] if reply else [])) as (client, history):
            (held,) = (await client.reserve(0)).answer["jobs"]
            await client.delete(held, until)
        assert [line[:2] for line in written(history)[1:]] == expected


async def test_a_connection_that_closes_with_a_reserved_job_releases_it_at_an_unknown_time():
    async with told(*RESERVED) as (client, history):
        (held,) = (await client.reserve(0)).answer["jobs"]
        client.hang_up(held)
    assert written(history)[1:] == [("release", "info", None, None)]
    assert history.digest.leases["tube.7.3"].surely_held_until == history.calls[1].begun
