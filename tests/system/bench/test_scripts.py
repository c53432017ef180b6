"""What counts as done and what as failed: a benchmark that takes a refusal for a success measures nothing."""

import asyncio
import time
from itertools import repeat

import msgspec
import pytest

from bench import openloop
from bench.events import SHAPES, changing, event, events, publishing, queue_of
from bench.openloop import Pace, paced
from bench.peerwire import beanstalk_life, redis_life
from bench.scripts import Calls, Tally, concluding, dequeuing, draining, living, living_in_batches, pushing
from bench.timer import Ticker
from bench.wire import Connection, HttpReader
from holdfast.routing.interests import Interests

ONE_LEASED = b'{"jobs":[{"id":1,"queue":"bench","payload":{"n":"0000000007"},"lease":{"token":"t1","ms_left":9}}]}'
TWO_LEASED = b'{"jobs":[{"payload":{},"lease":{"token":"t1"}},{"payload":{},"lease":{"token":"t2"}}]}'
NONE_LEASED = b'{"jobs":[]}'


@pytest.fixture
def calls():
    return Calls("bench", payload_bytes=20, seed=1)


def play(script, *answers):
    """Send a script one answer after the other; returns what it asked for."""
    requests = [next(script)]
    for answer in answers:
        try:
            requests.append(script.send(answer))
        except StopIteration:
            break
    return requests


def test_a_life_is_done_when_all_three_requests_were(calls):
    tally = Tally()
    requests = play(living(tally, [None], calls), (201, b"{}"), (200, ONE_LEASED), (200, b"{}"))
    assert [request.split(b" HTTP")[0] for request in requests] == [
        b"POST /v1/queues/bench/jobs",
        b"POST /v1/leases",
        b"POST /v1/leases/t1/conclude",
    ]
    assert (tally.done, tally.concluded, len(tally.samples), tally.failures) == (1, 1, 1, {})


@pytest.mark.parametrize(
    ("answers", "failure"),
    [
        ([(429, b"full")], "push 429"),
        ([(201, b"{}"), (200, NONE_LEASED)], "lease 200"),
        ([(201, b"{}"), (503, b"")], "lease 503"),
        ([(201, b"{}"), (200, ONE_LEASED), (409, b"lost")], "conclude 409"),
    ],
)
def test_a_life_with_one_refused_request_is_a_failure(calls, answers, failure):
    tally = Tally()
    play(living(tally, [None], calls), *answers)
    assert (tally.done, tally.concluded, tally.failures) == (0, 0, {failure: 1})
    assert tally.first_failure.startswith(failure)


def test_a_push_that_was_only_accepted_does_not_count(calls):
    tally = Tally()
    play(pushing(tally, [None, None], calls.pushes), (202, b""), (201, b""))
    assert (tally.done, tally.failures) == (1, {"push 202": 1})


def test_an_empty_lease_does_not_count(calls):
    tally, tokens = Tally(), []
    play(dequeuing(tally, [None, None], calls.lease(), tokens), (200, NONE_LEASED), (200, ONE_LEASED))
    assert (tally.done, tokens, tally.failures) == (1, ["t1"], {"lease 200": 1})


def test_callers_share_their_tokens(calls):
    tally, tokens = Tally(), iter(["a", "b"])
    first, second = concluding(tally, tokens, calls), concluding(tally, tokens, calls)
    assert b"/v1/leases/a/conclude" in next(first)
    assert b"/v1/leases/b/conclude" in next(second)
    with pytest.raises(StopIteration):
        first.send((200, b"{}"))
    assert tally.concluded == 1


def test_a_lost_lease_in_a_batch_is_counted_against_it(calls):
    tally = Tally()
    ended = b'{"conclude":[{},{"code":"lease_lost","status":409}],"fail":[]}'
    play(living_in_batches(tally, [None], calls, 2), (201, b"{}"), (200, TWO_LEASED), (200, ended))
    assert (tally.done, tally.concluded, tally.failures) == (1, 1, {"batch conclude entry 200": 1})


def test_an_event_that_did_not_reach_exactly_one_queue_does_not_count():
    tally = Tally()
    one, two = b'{"jobs":[{"queue":"a","id":1}]}', b'{"jobs":[{"queue":"a","id":1},{"queue":"b","id":2}]}'
    play(publishing(tally, repeat(None, 4), events(10, 100, 1)), (201, one), (201, two), (200, b'{"jobs":[]}'), (429, b"full"))
    assert (tally.done, tally.failures) == (1, {"publish 201": 1, "publish 200": 1, "publish 429": 1})


@pytest.mark.parametrize("shape", SHAPES)
def test_every_event_is_wanted_by_exactly_one_queue_however_it_is_worded(shape):
    interests = Interests(1, {queue_of(n): SHAPES[shape](n) for n in range(300)})
    for n in (0, 1, 29, 299):
        body = event(n, "x" * 200).partition(b"\r\n\r\n")[2]
        assert interests.queues_for(bytes(msgspec.json.decode(body, type=dict[str, msgspec.Raw])["data"])) == [queue_of(n)]


def test_only_the_publish_after_a_change_is_timed():
    tally = Tally()
    requests = play(changing(tally, [None], events(1, 100, 1), 1, "literals"), (200, b"{}"), (201, b'{"jobs":[{}]}'))
    assert [request.split(b" HTTP")[0] for request in requests] == [b"PUT /v1/interests/wants-000001", b"POST /v1/publish"]
    assert len(tally.samples) == 1


def test_a_drain_ends_at_the_first_empty_lease(calls):
    tally = Tally()
    play(draining(tally, calls, 2), (200, TWO_LEASED), (200, b'{"conclude":[{},{}]}'), (200, NONE_LEASED))
    assert (tally.done, tally.concluded, tally.failures) == (2, 2, {})


def test_a_refusal_of_a_peer_is_a_failure_of_the_peer():
    tally = Tally()
    play(beanstalk_life(tally, [None], 1, 20, 0), [(b"OUT_OF_MEMORY", b"")])
    play(redis_life(tally, [None], 1, 20, 0), [(b":1", b"")], [(b"$-1", b"")])
    assert tally.failures == {"put OUT_OF_MEMORY": 1, "LMOVE found nothing": 1}


def test_the_same_seed_makes_the_same_payloads():
    first, again, other = (Calls("bench", 20, seed) for seed in (1, 1, 2))
    assert first.push(3) == again.push(3) != other.push(3)


async def test_a_fixed_rate_counts_the_wait_of_a_request_that_could_not_leave():
    pace = Pace(rate=1000, seconds=0.02)
    took = []

    class SlowServer:
        """Answers after 5 ms, so one connection cannot keep up with 1,000 requests per second."""

        def write(self, request):
            loop.call_later(0.005, connection.data_received, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    loop = asyncio.get_running_loop()
    connection = Connection(HttpReader())
    connection.connection_made(SlowServer())
    ended = asyncio.Event()
    answered = lambda n, answer: took.append(openloop.clock() - pace.intended(n))  # noqa: E731 -- one expression
    connection.play(paced(pace, lambda n: b"", answered), lambda why: ended.set(), pace.idle)
    await asyncio.wait_for(asyncio.gather(pace.run(), ended.wait()), 10)
    assert len(took) == pace.total == len(pace.lateness) == 20
    assert took[-1] > 0.06, "the last one was due after 19 ms and had to wait for 19 answers of 5 ms each"


async def test_the_ticker_ticks_more_often_than_the_loop_could():
    ticks = []
    ticker = Ticker(200, lambda: ticks.append(time.perf_counter()))
    await asyncio.sleep(0.1)
    ticker.close()
    assert len(ticks) > 100
