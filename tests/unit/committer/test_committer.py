"""Group commit: few transactions for many callers, and the truth for each of them whatever goes wrong in between.

A defect or a failing disk is a real store that raises at one place of its own code.
"""

import asyncio
from contextlib import asynccontextmanager

import apsw
import pytest

from holdfast import limits
from holdfast.committer.local_backend import LocalBackend
from holdfast.job.job import State
from holdfast.job.queue import QueuePolicy
from holdfast.messages.answers import Enqueued
from holdfast.messages.commands import ConcludeLease, Enqueue, ExtendLease, LeaseJobs, PauseQueue, ReleaseLease
from holdfast.messages.queries import GetJob, GetQueue
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.stores.store import StoreBroken


class Brittle(SqliteStore):
    """A store with a defect: it stumbles over one payload."""

    @asynccontextmanager
    async def transaction(self):
        async with super().transaction() as tx:
            write = tx.write

            async def stumble(changes):
                await write(changes)
                if any(change.content and change.content.payload == b'"stumble"' for change in changes):
                    raise LookupError("a defect")

            tx.write = stumble
            yield tx


class Failing(SqliteStore):
    """A store whose disk fails at the commit of one payload, or of anything once `failing` is set."""

    failing = False

    @asynccontextmanager
    async def transaction(self):
        async with super().transaction() as tx:
            write, commit, payloads = tx.write, tx.commit, []

            async def note(changes):
                payloads.extend(change.content.payload for change in changes if change.content)
                await write(changes)

            async def fail():
                if self.failing or b'"fail"' in payloads:
                    raise apsw.IOError("the disk failed")
                await commit()

            tx.write, tx.commit = note, fail
            yield tx


def codes(results) -> list[str]:
    return [getattr(result, "code", type(result).__name__) for result in results]


async def submit_all(backend, commands):
    return [await future for future in [backend.submit(command) for command in commands]]


async def leased(backend, count=1):
    granted = await backend.submit(LeaseJobs(("q",), count, "w"))
    return [one.job for one in granted.jobs]


async def test_what_waits_together_is_kept_by_one_commit(backend, new):
    results = await submit_all(backend, [Enqueue([new()]) for _ in range(500)])
    assert [result.jobs[0].id for result in results] == list(range(1, 501))
    assert (backend.totals.commits, backend.totals.commands) == (1, 500)


async def test_what_comes_while_nothing_waits_is_not_held_back(backend, new):
    for _ in range(3):
        await backend.submit(Enqueue([new()]))
    assert backend.totals.commits == 3


async def test_a_refused_command_never_fails_its_neighbours(backend, new):
    await backend.submit(Enqueue([new(unique_key="u")]))
    (job,) = await leased(backend)
    await backend.submit(ReleaseLease(job.ref()))
    results = await submit_all(
        backend,
        [
            Enqueue([new()]),
            Enqueue([new(unique_key="u")]),
            ConcludeLease(job.ref()),
            PauseQueue("none", True),
            Enqueue([new()]),
            LeaseJobs(("q",), 5, "w"),
        ],
    )
    assert codes(results) == ["Enqueued", "not_unique", "lease_lost", "queue_not_found", "Enqueued", "Granted"]
    assert len(results[-1].jobs) == 3
    assert backend.totals.commits == 4


async def test_a_batch_is_bounded_in_commands(backend, new):
    await submit_all(backend, [Enqueue([new()]) for _ in range(limits.BATCH_COMMANDS + 1)])
    assert backend.totals.commits == 2


async def test_a_batch_is_bounded_in_bytes_but_one_large_command_passes(start, new):
    backend = start()
    third = b"x" * (limits.BATCH_BYTES // 3)
    await submit_all(backend, [Enqueue([new(payload=third)]) for _ in range(4)])
    assert backend.totals.commits == 2
    await submit_all(backend, [Enqueue([new(payload=third)] * 4)])
    assert (await backend.submit(GetQueue("q"))).tally.ready == 8


# Callers who leave ---------------------------------------------------------------------------------------------------


async def test_a_caller_that_leaves_while_it_waits_does_not_undo_what_it_asked_for(backend, new):
    left = [backend.submit(Enqueue([new()])) for _ in range(3)]
    stays = backend.submit(Enqueue([new()]))
    for future in left:
        future.cancel()
    assert (await stays).jobs[0].id == 4
    assert (await backend.submit(GetQueue("q"))).tally.ready == 4


async def test_stopping_commits_what_waits(start, tmp_path, clock, new):
    path = tmp_path / "jobs.db"
    backend = LocalBackend(SqliteStore(path, QueuePolicy()), clock)
    backend.start()
    future = backend.submit(Enqueue([new()]))
    await backend.stop()
    assert future.result().jobs[0].id == 1
    again = start(SqliteStore(path, QueuePolicy()))
    assert (await again.submit(GetJob(1))).job.state is State.READY


# Answers and news ----------------------------------------------------------------------------------------------------


async def test_answers_and_news_leave_only_after_the_commit_and_the_answers_first(start, new):
    moments = []

    class Watched(SqliteStore):
        @asynccontextmanager
        async def transaction(self):
            async with super().transaction() as tx:
                commit = tx.commit

                async def note():
                    assert not future.done()
                    await commit()
                    assert not future.done()
                    moments.append("commit")

                tx.commit = note
                yield tx

    backend = start(Watched(None, QueuePolicy()))
    backend.listen(lambda news: moments.append(("news", future.done(), news.ready)))
    future = backend.submit(Enqueue([new()]))
    await future
    assert moments == ["commit", ("news", True, {"q": 1})]


async def test_news_of_single_jobs_are_sent_only_while_somebody_wants_them(backend, new):
    heard = []
    backend.listen(lambda news: heard.append([(event.verb, event.id, event.state) for event in news.jobs]))
    await backend.submit(Enqueue([new()]))
    backend.want_job_events(True)
    (job,) = await leased(backend)
    await backend.submit(ConcludeLease(job.ref()))
    backend.want_job_events(False)
    await backend.submit(Enqueue([new()]))
    assert heard == [[], [("leased", 1, State.LEASED)], [("concluded", 1, State.CONCLUDED)], []]


# A defect ------------------------------------------------------------------------------------------------------------


async def test_a_defect_fails_only_the_command_that_meets_it(start, new):
    backend = start(Brittle(None, QueuePolicy()))
    await backend.submit(Enqueue([new() for _ in range(2)]))
    jobs = await leased(backend, 2)
    results = await submit_all(
        backend,
        [
            Enqueue([new(payload=b'"before"')]),
            ConcludeLease(jobs[0].ref()),
            Enqueue([new(), new(payload=b'"stumble"')]),
            ExtendLease(jobs[1].ref(), 777),
            Enqueue([new(payload=b'"after"')]),
        ],
    )
    assert codes(results) == ["Enqueued", "Outcome", "internal_error", "Extended", "Enqueued"]
    tally = (await backend.submit(GetQueue("q"))).tally
    assert (tally.ready, tally.leased, tally.concluded) == (2, 1, 1)
    kept = [results[index].jobs[0].id for index in (0, 4)]
    assert [(await backend.submit(GetJob(job_id))).content.payload for job_id in kept] == [b'"before"', b'"after"']


async def test_the_committer_goes_on_after_a_defect(start, new):
    backend = start(Brittle(None, QueuePolicy()))
    assert (await backend.submit(Enqueue([new(payload=b'"stumble"')]))).code == "internal_error"
    assert isinstance(await backend.submit(Enqueue([new()])), Enqueued)
    assert (await backend.submit(GetQueue("q"))).tally.ready == 1


# A store that breaks -------------------------------------------------------------------------------------------------


async def test_when_the_store_breaks_the_batch_is_told_that_nobody_knows_and_nothing_more_is_taken(start, new):
    store = Failing(None, QueuePolicy())
    backend = start(store)
    await backend.submit(Enqueue([new()]))
    store.failing = True
    results = await submit_all(backend, [Enqueue([new()]), LeaseJobs(("q",), 1, "w"), PauseQueue("none", True)])
    assert codes(results) == ["outcome_unknown"] * 3
    with pytest.raises(StoreBroken):
        await asyncio.wait_for(asyncio.shield(backend._runner), 10)
    assert codes(await submit_all(backend, [Enqueue([new()])])) == ["store_unavailable"]
    assert backend.totals.commits == 1


async def test_when_the_store_breaks_those_who_still_waited_are_told_that_it_has_failed(start, new):
    store = Failing(None, QueuePolicy())
    store.failing = True
    backend = start(store)
    count = limits.BATCH_COMMANDS + 3
    results = await asyncio.wait_for(submit_all(backend, [Enqueue([new()]) for _ in range(count)]), 10)
    assert codes(results) == ["outcome_unknown"] * limits.BATCH_COMMANDS + ["store_unavailable"] * 3


async def test_a_store_that_breaks_while_it_stops_does_not_keep_it_from_that(start, new):
    backend = start(Failing(None, QueuePolicy()))
    backend._runner.add_done_callback(lambda done: done.exception())
    count = 4 * limits.BATCH_COMMANDS
    waiting = submit_all(backend, [*[Enqueue([new()]) for _ in range(count)], Enqueue([new(payload=b'"fail"')])])
    results, _ = await asyncio.wait_for(asyncio.gather(waiting, backend.halt()), 20)
    assert codes(results) == ["Enqueued"] * count + ["outcome_unknown"]
    assert isinstance(backend.committer.broken, StoreBroken)


async def test_a_store_that_breaks_while_a_batch_is_tried_one_by_one_tells_each_command_the_truth(start, new):
    class Both(Failing, Brittle):
        pass

    backend = start(Both(None, QueuePolicy()))
    results = await submit_all(
        backend, [Enqueue([new()]), Enqueue([new(payload=b'"stumble"')]), Enqueue([new(payload=b'"fail"')]), Enqueue([new()])]
    )
    assert codes(results) == ["Enqueued", "internal_error", "outcome_unknown", "store_unavailable"]
