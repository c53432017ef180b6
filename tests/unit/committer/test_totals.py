"""Counting what was done: totals that only grow, rates that forget within about a minute, and the sizes of commits in their buckets."""

import math

import pytest

from holdfast.committer.totals import BATCH_BUCKETS, COMMIT_BUCKETS, Counter, Totals, spans
from holdfast.job.queue import QueueSettings
from holdfast.messages import events
from holdfast.messages.commands import ConcludeLease, DeleteQueue, Enqueue, FailLease
from holdfast.messages.queries import GetStats
from holdfast.messages.time_commands import ForgetHistory


def test_a_steady_stream_is_rated_at_its_speed():
    counter = Counter()
    for second in range(600):
        counter.add(10, float(second))
    assert counter.per_second(599.0)[1] == pytest.approx(10, rel=0.05)


def test_a_rate_falls_to_a_third_in_a_minute_of_silence_and_to_nothing_in_time():
    counter = Counter()
    for second in range(600):
        counter.add(10, float(second))
    now = counter.per_second(599.0)[1]
    assert counter.per_second(659.0)[1] == pytest.approx(now / math.e)
    assert counter.per_second(599.0 + 3_600)[1] < 1e-6


def test_a_rate_in_which_nothing_happened_is_nothing():
    assert Counter().per_second(1_000_000.0) == (0, 0, 0)


def test_a_burst_is_seen_at_once_over_ten_seconds_and_smoothed_over_an_hour():
    counter = Counter()
    for second in range(7_200):
        counter.add(1, float(second))
    for second in range(7_200, 7_230):
        counter.add(101, float(second))
    moment, minute, hour = counter.per_second(7_229.0)
    assert moment == pytest.approx(96, rel=0.06)
    assert minute == pytest.approx(40, rel=0.1)
    assert hour == pytest.approx(1.7, rel=0.1)


@pytest.mark.parametrize("ran", [2, 5, 30, 600])
def test_a_server_that_runs_for_less_than_a_span_averages_over_what_it_has_run(ran):
    counter = Counter()
    for tenth in range(10 * ran):
        counter.add(1, 1_000 + tenth / 10)
    assert counter.per_second(1_000.0 + ran, spans(ran)) == (pytest.approx(10, rel=0.08),) * 3


def test_what_is_counted_without_a_deleted_queue_is_as_if_it_had_not_been():
    both, gone, stays = Counter(), Counter(), Counter()
    for second in range(100):
        for counter in (both, gone):
            counter.add(7, float(second))
        for counter in (both, stays):
            counter.add(3, float(second))
    both.without(gone, 100.0)
    assert both.count == stays.count
    assert both.per_second(130.0) == tuple(map(pytest.approx, stays.per_second(130.0)))


def test_one_event_counts_as_one_a_minute():
    counter = Counter()
    counter.add(1, 0.0)
    assert counter.per_second(0.0)[1] * 60 == pytest.approx(1)


@pytest.mark.parametrize(
    ("commands", "bucket"), [(1, 0), (2, 1), (3, 2), (2_000, len(BATCH_BUCKETS) - 1), (2_001, len(BATCH_BUCKETS))]
)
def test_a_commit_is_counted_in_the_bucket_of_its_size(commands, bucket):
    totals = Totals()
    totals.committed({}, commands, 0.0)
    assert [index for index, count in enumerate(totals.batch_buckets) if count] == [bucket]
    assert (totals.commits, totals.commands) == (1, commands)


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0), (0.0002, 0), (0.00021, 1), (5.0, 11), (6.0, len(COMMIT_BUCKETS))])
def test_a_commit_is_counted_in_the_bucket_of_its_duration(seconds, bucket):
    totals = Totals()
    totals.committed({}, 1, seconds)
    assert [index for index, count in enumerate(totals.commit_buckets) if count] == [bucket]
    assert totals.commit_seconds == seconds


def test_totals_and_rates_are_kept_apart_by_queue_and_verb():
    totals = Totals()
    totals.committed({(events.ENQUEUED, "a"): 3, (events.LEASED, "a"): 1, (events.ENQUEUED, "b"): 2}, 1, 0.0)
    totals.committed({(events.ENQUEUED, "a"): 4}, 1, 0.0)
    counts, _, rates, hourly = totals.of("a")
    assert (counts["enqueued"], counts["leased"], counts["concluded"]) == (7, 1, 0)
    assert (set(rates), set(hourly)) == ({"enqueued", "leased"}, {"enqueued"})
    assert totals.of("b")[0]["enqueued"] == 2


def test_totals_of_queues_that_another_node_deletes_do_not_gather_without_end(monkeypatch):
    monkeypatch.setattr("holdfast.committer.totals.QUEUES", 1)
    totals = Totals()
    for n in range(100):
        totals.committed({(events.ENQUEUED, f"q{n}"): 1, (events.LEASED, f"q{n}"): 1}, 1, 0.0)
    assert len(totals._counters) <= len(events.COUNTED)
    assert totals.of("q99")[0]["enqueued"] == 1


def test_verbs_that_nobody_asks_for_are_not_counted():
    totals = Totals()
    totals.committed({(events.EXTENDED, "a"): 3, (events.ADMITTED, "a"): 1}, 1, 0.0)
    assert set(totals.of("a")[0]) == set(events.COUNTED)
    assert totals.of("a").rates == {}


async def test_what_is_done_through_the_engine_is_counted_once_each(engine, backend, new, clock):
    await engine.set_queue("q", QueueSettings(max_attempts=1, retention_ms=0), True)
    await engine.enqueue([new(), new(), new()])
    first, second = [one.job for one in (await engine.lease(("q",), 2)).jobs]
    await engine.end(ConcludeLease(first.ref()))
    await engine.end(FailLease(second.ref(), "no"))
    clock.advance(1)
    await backend.submit(ForgetHistory(10))
    (queue,) = (await backend.submit(GetStats())).queues
    done = {verb: count for verb, count in queue.totals.items() if count}
    assert done == {"enqueued": 3, "leased": 2, "concluded": 1, "failed": 1, "died": 1, "forgotten": 1}
    assert queue.rates["enqueued"] > queue.rates["leased"] > queue.rates["died"] > 0


async def test_what_was_undone_or_refused_is_not_counted(engine, backend, new):
    await engine.set_queue("q", QueueSettings(capacity_jobs=0), True)
    refused = await backend.submit(Enqueue([new()]))
    assert refused.code == "queue_full"
    (queue,) = (await backend.submit(GetStats())).queues
    assert set(queue.totals.values()) == {0}


async def test_a_queue_that_was_deleted_begins_at_zero_when_it_comes_again(engine, backend, new):
    await engine.enqueue([new()])
    await engine.purge("q", ("ready",))
    await backend.submit(DeleteQueue("q"))
    await engine.enqueue([new()])
    (queue,) = (await backend.submit(GetStats())).queues
    assert {verb: count for verb, count in queue.totals.items() if count} == {"enqueued": 1}
