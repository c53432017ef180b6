"""Whatever comes in on a connection, the server does what RFC 9110 and 9112 read in its bytes: no more, no less, and in that order.

Upgrades that nobody takes, trailers, pipelines, half-closed callers, messages that break off: as made-up streams and as the ones that real
clients send.
"""

import base64
import itertools
import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.contract.doors.rest.streams import Caller, connections, read

BOUNDS = settings(
    max_examples=120,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
LAST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_queues = itertools.count(1)


@pytest.fixture(scope="module")
def lane(serve):
    """A server and its client."""
    return serve()


def status_of(asked):
    """What a request of `streams.requests` is answered, when it is read as it was meant."""
    path = asked.target.decode().removeprefix("http://localhost").partition("?")[0]
    if path == "/v1/nowhere" or asked.method == b"OPTIONS":
        return 404
    if path == "/v1/channel":
        return 426
    return 201 if asked.method == b"POST" else 200


def put(asked, queue):
    """The payloads that these requests put."""
    for one in asked:
        if one.method == b"POST" and one.target != b"/v1/nowhere":
            yield json.loads(one.body)["payload"] if one.body.startswith(b"{") else one.body


def held(api, queue):
    """The payloads that the server holds."""
    jobs = api.lease(queue, max=1_000)
    return [base64.b64decode(job["payload_base64"]) if "payload_base64" in job else job["payload"] for job in jobs]


def check(lane, queue, pieces, half_closed):
    """Say it, and compare what is answered and what is done with what the bytes say."""
    server, api = lane
    data = b"".join(pieces)
    asked, end = read(data)
    if end == "whole" and not half_closed and not (asked and asked[-1].last):
        pieces = [*pieces, LAST]
        asked, end = read(data + LAST)
    with Caller(server) as caller:
        caller.say(pieces)
        if half_closed or end == "cut":
            caller.end()
        answers = caller.answers([one.method for one in asked])
    statuses = [status for status, _, _ in answers]
    expected = [status_of(one) for one in asked]
    assert statuses[: len(expected)] == expected, (data, [len(piece) for piece in pieces])
    refusals = statuses[len(expected) :]
    assert len(refusals) <= (end != "whole"), "more answers than requests"
    assert all(status >= 400 for status in refusals)
    assert held(api, queue) == list(put(asked, queue))
    sets = [json.loads(one.body)["capacity_jobs"] for one in asked if one.method == b"PUT"]
    if sets:
        assert api.get(f"/v1/queues/{queue}-set").json()["settings"]["capacity_jobs"] == sets[-1]
    assert api.get("/v1/queues/smuggled").status_code == 404


@pytest.mark.parametrize("half_closed", [False, True], ids=["open", "half-closed"])
def test_what_is_done_and_answered_is_what_the_bytes_say(lane, half_closed):
    @BOUNDS
    @given(st.data())
    def one(data):
        queue = f"s{next(_queues)}"
        check(lane, queue, data.draw(connections(queue)).pieces, half_closed)

    one()
