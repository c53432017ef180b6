"""Statistics of very many queues: few of them are shown, and all of them are in the sums."""

from prometheus_client.parser import text_string_to_metric_families

from holdfast.limits import METRIC_QUEUES, STATS_QUEUES
from holdfast.messages.commands import DeleteQueue
from holdfast.messages.queries import GetStats
from holdfast.metrics import OTHER, exposition

MANY = STATS_QUEUES + 700


async def fill(engine, new):
    for first in range(0, MANY, 500):
        await engine.enqueue([new(f"q{n:05}") for n in range(first, min(first + 500, MANY))])
    await engine.enqueue([new("q00700"), new("q00700")])


def samples(page):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


async def test_those_with_the_most_jobs_are_shown_and_the_sums_are_over_all(engine, backend, new):
    await fill(engine, new)
    found = await backend.submit(GetStats())
    assert (len(found.queues), found.all, found.found) == (STATS_QUEUES, MANY, MANY)
    assert found.queues[0].info.name == "q00700"
    assert (found.tally.ready, found.tally.bytes, found.totals["enqueued"]) == (MANY + 2, MANY + 2, MANY + 2)
    named = await backend.submit(GetStats(named="q0000"))
    assert [queue.info.name for queue in named.queues] == [f"q0000{n}" for n in range(10)]
    assert (named.all, named.found, named.tally.ready) == (MANY, 10, MANY + 2)


async def test_the_metrics_of_all_queues_add_up_with_a_bounded_number_of_labels(engine, backend, new, clock):
    await fill(engine, new)
    clock.advance(7_000)
    found = samples(exposition(await backend.submit(GetStats(METRIC_QUEUES + 1, busiest=True)), 0, b""))
    ready = {
        dict(labels)["queue"]: value
        for (name, *labels), value in found.items()
        if name == "holdfast_jobs" and ("state", "ready") in labels
    }
    assert (len(ready), sum(ready.values())) == (METRIC_QUEUES + 1, MANY + 2)
    assert (ready["q00700"], ready[OTHER]) == (3, MANY - METRIC_QUEUES)
    assert found["holdfast_job_events_total", ("event", "enqueued"), ("queue", OTHER)] == MANY - METRIC_QUEUES
    assert found["holdfast_oldest_ready_seconds", ("queue", OTHER)] == 7
    assert (found["holdfast_queues",], found["holdfast_queues_in_other",]) == (MANY, MANY - METRIC_QUEUES)


async def test_what_was_done_in_a_queue_that_was_deleted_is_in_no_sum(engine, backend, new):
    await engine.enqueue([new("a"), new("b")])
    await engine.purge("a", ("ready",))
    await backend.submit(DeleteQueue("a"))
    found = await backend.submit(GetStats())
    assert {verb: count for verb, count in found.totals.items() if count} == {"enqueued": 1}
    assert found.rates["deleted"] == 0
