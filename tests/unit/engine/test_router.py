"""Routing events beside the event loop: nothing that a stranger sends or registers keeps others from being answered, and bounds are told by name."""

import asyncio
import json
import random
import time

import pytest

from holdfast import limits
from holdfast.errors import HoldfastError, InvalidRequest, Overloaded
from holdfast.job.job import NewJob
from holdfast.job.schedule import ScheduleSpec
from holdfast.messages.commands import SetSchedule
from holdfast.routing import router
from holdfast.routing.patterns import Steps

SLOW = {".*": "(a|b)*a(a|b){300}c"}
TEXT = json.dumps({"t": "".join(random.Random(1).choices("ab", k=60_000))}).encode()


async def longest_turn(work):
    """How long the loop's thread was busy at a stretch while this was done."""
    longest, last = 0.0, time.thread_time()
    task = asyncio.ensure_future(work)
    while not task.done():
        await asyncio.sleep(0)
        now = time.thread_time()
        longest, last = max(longest, now - last), now
    return longest, task


@pytest.mark.parametrize(
    ("match", "event"),
    [
        (SLOW, TEXT),
        ({f"^t{n}?": f"(a|b)*a(a|b){{{100 + n}}}c" for n in range(64)}, json.dumps({"t": "ab" * 20_000}).encode()),
        ({".*": "[ab]+x"}, json.dumps({f"t{n}": "ab" * 100 for n in range(1_000)}).encode()),
        ({".*": ".*"}, b'{"a":[' + b",".join([b"[]"] * 100_000) + b"]}"),
    ],
)
async def test_an_event_that_takes_long_is_matched_or_refused_without_stopping_the_loop(engine, match, event):
    await engine.set_interest("q", match)
    longest, task = await longest_turn(engine.queues_for(event))
    assert longest < 0.1
    if task.exception() is not None:
        assert isinstance(task.exception(), InvalidRequest)
        assert task.exception().fields["field"] == "data"


async def test_an_event_past_the_bound_is_refused_everywhere_and_the_bound_is_named(engine, new, monkeypatch):
    monkeypatch.setattr("holdfast.routing.interests.steps_to_match", _less(1_000))
    monkeypatch.setattr("holdfast.routing.router.steps_to_match", _less(1_000))
    await engine.set_interest("q", {".*": "a+b"})
    event = json.dumps({"t": "a" * 1_000}).encode()
    for ask in (engine.queues_for(event), engine.publish(new("-", event))):
        with pytest.raises(InvalidRequest, match="1,000 steps is the most") as refused:
            await ask
        assert refused.value.fields["field"] == "data"
    assert await engine.queues_for(b'{"t":"aab"}') == ["q"]


def _less(most):

    return lambda *_, field="data", **__: Steps(most, field, "takes too many steps to match")


async def test_setting_very_large_patterns_does_not_stop_the_loop_and_is_refused_with_the_bound(engine):
    for large in (r"\pL{100}", r"(\pL{1,30}[a-z]?){1,30}", r".{0,1000}.{0,1000}.{0,1000}"):
        longest, task = await longest_turn(engine.set_interest("q", {f"{n}{large}": f"{large}{n}" for n in range(64)}))
        assert longest < 0.1
        with pytest.raises(InvalidRequest, match="instructions") as refused:
            task.result()
        assert refused.value.fields["field"].startswith("match")


@pytest.mark.parametrize(("bound", "most"), [("INTERESTS_PAIRS", 10), ("INTERESTS_BYTES", 60), ("INTERESTS_PROGRAM", 200)])
async def test_all_queues_together_have_a_bound_on_their_patterns(engine, monkeypatch, bound, most):
    monkeypatch.setattr(f"holdfast.routing.interests.{bound}", most)
    sets = [engine.set_interest(f"q{n}", {f"^field{n}$": f"^value{n}$"}) for n in range(30)]
    answers = await asyncio.gather(*sets, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, InvalidRequest)]
    assert refused
    assert f"{most:,}" in refused[0].detail
    taken = (await engine.reading.interests()).interests
    assert 0 < len(taken) < 30
    name = next(iter(taken))
    await engine.set_interest(name, "*")  # a smaller one is always taken
    await engine.set_interest(name, None)


async def test_patterns_that_are_gone_leave_room(engine, monkeypatch):
    monkeypatch.setattr("holdfast.routing.interests.INTERESTS_PROGRAM", 500)
    await engine.queues_for(b"{}")
    for n in range(100):
        await engine.set_interest("q", {f"^field{n}$": f"^value{n}$"})
        await engine.queues_for(b'{"a":1}')


async def test_interests_that_came_and_went_take_no_memory_though_no_event_comes_any_more(engine):
    routing = engine._publishing._router
    await engine.set_interest("q", {"^a$": "^b$"})
    assert await engine.queues_for(b'{"a":"b"}') == ["q"]
    for n in range(100):
        await engine.set_interest(f"q{n}", {rf"^\pL{n}$": "[^a]+x{100}"})
    for n in range(100):
        await engine.set_interest(f"q{n}", None)
    assert routing._interests.share.pairs == 1
    assert routing._pending == []
    await engine.set_interest("q", None)
    assert routing._interests.share.program == 0
    assert await engine.queues_for(b'{"a":"b"}') == []


async def test_interests_that_change_at_every_event_take_no_more_than_those_of_now(engine):
    routing = engine._publishing._router
    await engine.queues_for(b"{}")
    for n in range(50):
        await engine.set_interest("q", {f"^field{n}$": f"^value{n}$"})
        assert await engine.queues_for(f'{{"field{n}":"value{n}"}}'.encode()) == ["q"]
        assert routing._interests.share.program < 200


async def test_those_who_wait_for_the_thread_have_a_bound_and_a_deadline(engine, monkeypatch):
    monkeypatch.setattr(router, "MATCHES_WAITING", 3)
    monkeypatch.setattr(router, "MATCH_WAIT_S", 0.05)
    await engine.set_interest("q", SLOW)
    asked = await asyncio.gather(*(engine.queues_for(TEXT[:-3] + b'b"}') for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(answer, Overloaded) for answer in asked) >= 4
    assert all(answer == [] or isinstance(answer, HoldfastError) for answer in asked)


async def test_a_change_while_an_event_is_matched_is_never_missed(engine, new):
    await engine.set_interest("slow", SLOW)
    publishing = asyncio.create_task(engine.publish(new("-", json.dumps({"t": "ab" * 3_000}).encode())))
    await asyncio.sleep(0.01)
    await engine.set_interest("all", "*")
    assert [receipt.queue for receipt in (await publishing).jobs] in ([], ["all"])
    assert [receipt.queue for receipt in (await engine.publish(new("-", b'{"t":"x"}'))).jobs] == ["all"]


async def test_a_schedule_whose_event_is_too_dear_is_refused_when_it_is_set(engine, spec_of):
    deep = '{"a":' + '[{"b":' * 28 + "[]" + "}]" * 28 + "}"
    with pytest.raises(InvalidRequest) as refused:
        await engine.schedules.set("s", spec_of(deep.encode()), False)
    assert refused.value.fields["field"] == "payload"
    assert f"{limits.FIELD_STEPS:,}" in refused.value.detail


async def test_an_old_schedule_whose_event_is_too_dear_stops_nobody(engine, backend, clock, spec_of):

    deep = '{"a":' + '[{"b":' * 28 + "[]" + "}]" * 28 + "}"
    await engine.set_interest("x", {"b": "1"})
    await backend.submit(SetSchedule("old", spec_of(deep.encode()), False))  # as an older version let in
    await engine.schedules.set("good", spec_of(b'{"b":"1"}'), False)
    clock.advance(60_000)
    await asyncio.wait_for(backend._pass_time(), 5)
    await backend._routes.settled()
    await backend._pass_time()
    assert (await engine.reading.queue("x")).tally.ready == 1
    assert "steps" in (await engine.reading.schedule("old")).last_error


@pytest.fixture
def spec_of():

    return lambda payload: ScheduleSpec(job=NewJob("-", payload), interval_ms=60_000, publish=True)
