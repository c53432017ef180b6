"""The engine against a model: long random stories, told to both, after each step of which both agree.

A step is a list of numbers, each standing for one command that fits the moment; they are told one after the other, or together in one
transaction. Compared are every answer, every job, every tally, and who holds which key and place; the checks that look after a store file
find nothing either. Hypothesis shortens a story that goes wrong, and prints how to tell it again.
"""

import asyncio
import itertools
from collections import deque
from contextlib import suppress
from importlib.resources import files

import pytest
import uvloop
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from holdfast.clock import ManualClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.engine.engine import Engine
from holdfast.errors import HoldfastError
from holdfast.job.by_type import NOTHING_YET
from holdfast.job.closing import Closing
from holdfast.job.job import State
from holdfast.job.operation import STATES, Do, JobFilter
from holdfast.job.queue import QueuePolicy
from holdfast.limits import LEASE_GRACE_MS
from holdfast.messages import commands as c
from holdfast.messages.answers import Changed, Counted, Enqueued, Extended, Granted, Outcome, PutIds, WorkerAnswer
from holdfast.messages.budget_commands import BlockBudget, SetBudget
from holdfast.messages.frame import Refused
from holdfast.messages.job_batches import JobBatchInfo, JobBatchMade, ListJobBatches
from holdfast.messages.operations import CancelOperation, ListOperations, StartOperation
from holdfast.messages.queries import GetInterests, GetQueue, ListJobs, ListWorkers
from holdfast.messages.time_commands import (
    AdmitWaiting,
    BuryOrphans,
    EndOverdue,
    ExpireLeases,
    FillTypes,
    PromoteDue,
    ReapWorkers,
)
from holdfast.stores.sqlite.store import SqliteStore
from tests.unit.engine.model import WAITING, Model
from tests.unit.engine.model_budgets import BUDGETS
from tests.unit.engine.model_commands import NEVER, QUEUES, SETTINGS, STEP_MS, CommandMaker
from tests.unit.engine.model_routing import Publish

pytestmark = pytest.mark.long(30)

CHECKS = {entry.name: entry.read_text() for entry in files("holdfast.stores.sqlite").joinpath("checks").iterdir()}
SILENCE_MS = 4 * STEP_MS

numbers = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=6)


class Story(RuleBasedStateMachine):
    """One story, told to the engine and to the model."""

    @initialize()
    def begin(self):
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(
            "holdfast.committer.operations.OPERATION_STEP_S", 60.0
        )  # a step settles groups, and the machine may be slow
        self.loop = uvloop.new_event_loop()
        self.clock = ManualClock()
        self.store = SqliteStore(None, QueuePolicy())
        self.backend = LocalBackend(self.store, self.clock)
        self.running = self.loop.create_task(self.backend.committer.run())
        self.engine = self.loop.run_until_complete(self.new_engine())
        for one in BUDGETS.values():
            self.ask(SetBudget(one.name, one.limit, one.per_ms))
        for name, settings in SETTINGS.items():
            self.ask(c.SetQueue(name, settings, whole=True))
        self.model = Model({name: QueuePolicy().with_settings(settings) for name, settings in SETTINGS.items()})
        self.refs = [NEVER]
        self.worker_numbers = itertools.count(1)

    async def new_engine(self):
        engine = Engine(self.backend)
        assert await engine.queues_for(b"{}") == [], "and now it knows the interests, and follows their changes"
        return engine

    def ask(self, *requests, next_due=False):
        async def all_of_them():
            tasks = [asyncio.ensure_future(self.one(request)) for request in requests]
            answers = [await task for task in tasks]
            return [*answers, await self.store.next_due()] if next_due else answers

        return self.loop.run_until_complete(all_of_them())

    async def one(self, request):
        if not isinstance(request, Publish):
            return await self.backend.submit(request)
        try:
            options = request.key, request.require_interest, request.to_workers, request.skip_held
            return await self.engine.publish(request.event, *options)
        except HoldfastError as error:
            return Refused(error.code, error.detail)

    def tell(self, *commands):
        """Both are told the same; the answers must be the same. First what is past its deadline ends: when else it does is tested elsewhere."""
        commands = (EndOverdue(1_000), *commands)
        _, *results = self.ask(AdmitWaiting(1_000), *commands)  # blocks end with time, too
        granted = [one.job.ref() for result in results if isinstance(result, Granted) for one in result.jobs]
        self.model.leased = deque([ref.job for ref in sorted(granted, key=lambda ref: ref.fence)])
        expected = self.model.apply(commands, self.clock.now())
        assert [self.brief(result) for result in results] == expected, commands
        self.note(sorted(granted, key=lambda ref: ref.fence))

    def note(self, refs):
        for ref in refs:
            assert ref.fence > self.refs[-1].fence or ref.fence == 1, "fences only grow"
            self.model.jobs[ref.job].ref = ref
            self.refs.append(ref)

    @staticmethod
    def brief(result):  # noqa: C901, PLR0911, PLR0912  (a table)
        """What the model says of the same command."""
        match result:
            case Refused():
                return result.code
            case Enqueued():
                return [receipt.id for receipt in result.jobs], result.duplicate, result.held
            case Granted():
                return [(one.job.id, one.job.attempt) for one in result.jobs]
            case Outcome():
                return result.state.value, result.ready_at
            case Extended():
                return result.ms_left, result.cancel_requested
            case Changed():
                return result.job.id
            case WorkerAnswer():
                return result.worker.id, result.worker.state.value
            case Counted():
                return result.count
            case JobBatchMade():
                return result.id, [receipt.id for receipt in result.jobs]
            case JobBatchInfo():
                return result.batch.id, result.batch.closed
            case PutIds():
                return result.ids, result.refused
        return result.paused

    # Steps

    @rule(numbers=numbers)
    def one_after_the_other(self, numbers):
        for number in numbers:
            self.tell(self.command(number))

    @rule(numbers=numbers)
    def together(self, numbers):
        self.tell(*(self.command(number) for number in numbers))

    def command(self, number):
        return CommandMaker(number, self.model, self.refs, self.worker_numbers).command()

    @rule(do=st.sampled_from([do for do in Do if do is not Do.MOVE]), queue=st.sampled_from(QUEUES))
    def the_server_does_one_thing_to_many_jobs(self, do, queue):
        expected = self.model.operate(do, queue, self.clock.now())
        (begun,) = self.ask(StartOperation(do, JobFilter(queue), STATES[do]))
        self.loop.run_until_complete(self.steps())
        (page,) = self.ask(ListOperations(id=begun.operation.id))
        (after,) = page.operations
        assert (after.done, after.passed, after.waits) == expected
        assert (after.ended_at is None) == bool(after.waits)
        if after.waits:
            self.ask(CancelOperation(after.id))

    async def steps(self):
        while await self.backend.operations.work(anyhow=True):
            pass

    @rule(ms=st.sampled_from([1, STEP_MS, STEP_MS, 5 * STEP_MS, LEASE_GRACE_MS]), tick=st.sampled_from([True, True, False]))
    def time_goes_on(self, ms, tick):
        self.clock.advance(ms)
        if tick:
            self.tell(ExpireLeases(1_000), PromoteDue(1_000))
            self.tell(ReapWorkers(SILENCE_MS), BuryOrphans(1_000))

    @rule(name=st.sampled_from(QUEUES), steps=st.integers(0, 3))
    def a_queue_is_kept_by_type(self, name, steps):
        """From here on leases by type are read from another place; the answers are the same."""
        self.loop.run_until_complete(self.kept_by_type(name))
        self.ask(*[FillTypes(name, 2)] * steps)

    async def kept_by_type(self, name):
        async with self.store.transaction() as tx:
            queue = await tx.queue(name)
            queue.typed = queue.typed or NOTHING_YET
            await tx.save_queues([queue])
            await tx.commit()

    @rule(name=st.sampled_from(sorted(BUDGETS)), key=st.sampled_from([None, None, "", "k"]))
    def a_budget_is_free_again(self, name, key):
        self.ask(BlockBudget(name, key))
        self.ask(AdmitWaiting(1_000))
        self.model.unblock(name, key)

    @rule(ms=st.sampled_from([0, STEP_MS, LEASE_GRACE_MS]), number=st.integers(0, 2**32 - 1), tick=st.booleans())
    def nobody_serves_for_a_while(self, ms, number, tick):
        self.clock.advance(ms)
        self.clock.leaps += 1
        self.model.outage(self.clock.now())
        command = self.command(number)
        asks_nothing = isinstance(command, Publish)  # an event that no queue wants is refused before the store is asked
        self.tell(ExpireLeases(1_000) if tick or asks_nothing else command)

    # What always holds

    @invariant()
    def both_agree(self):
        page, there, wanted, batches, *queues, due = self.ask(
            ListJobs(1_000),
            ListWorkers(),
            GetInterests(),
            ListJobBatches(),
            *(GetQueue(name) for name in QUEUES),
            next_due=True,
        )
        assert page.cursor is None
        self.every_job_is_what_the_model_says([detail.job for detail in page.jobs])
        self.every_tally_is_exact_and_within_its_bounds(queues)
        self.every_worker_is_what_the_model_says(there.workers)
        assert wanted.interests == self.model.interests
        self.every_batch_is_what_the_model_says(batches.batches)
        self.the_store_is_sound_and_every_key_and_place_is_with_the_job_that_has_it()
        moments = [row.until for row in self.model.jobs.values() if row.state == "leased"]
        moments += [row.ready_at for row in self.model.jobs.values() if row.state == "scheduled"]
        moments += [row.expires_at for row in self.model.jobs.values() if row.state in WAITING and row.expires_at is not None]
        moments += [
            row[0] for row in self.store._writer.execute("SELECT wake_at FROM budget_account WHERE wake_at IS NOT NULL")
        ]
        assert due == min(moments, default=None)

    def every_job_is_what_the_model_says(self, jobs):
        assert sorted(map(_seen, jobs)) == sorted(map(_told, self.model.jobs.values()))
        for job in jobs:
            row = self.model.jobs[job.id]
            assert (job.lease is not None) == (job.state is State.LEASED)
            if job.lease is not None:
                assert (job.ref(), job.lease.until, job.lease.cancel_requested) == (row.ref, row.until, row.cancel)

    def every_batch_is_what_the_model_says(self, batches):
        seen = {
            one.id: (
                (one.pending, one.concluded, one.dead, one.cancelled),
                one.closed,
                {on: mark for on in Closing if (mark := one.mark(on)) is not None},
            )
            for one in batches
        }
        told = self.model.batches
        for number, batch in told.items():
            assert seen.pop(number) == (self.model.counts(number), batch.closed, batch.marks), number
        assert not seen

    def every_worker_is_what_the_model_says(self, workers):
        seen = {one.worker.id: (one.worker.queues, one.beat_at, one.worker.state.value == "running") for one in workers}
        assert seen == {name: (worker.queues, worker.beat, worker.running) for name, worker in self.model.workers.items()}

    def every_tally_is_exact_and_within_its_bounds(self, queues):
        for info in queues:
            assert info.tally == self.model.tally(info.name)
            assert info.tally.unfinished <= info.policy.capacity_jobs
            assert info.tally.bytes <= info.policy.capacity_bytes
            assert info.policy.max_running is None or info.tally.leased <= info.policy.max_running

    def the_store_is_sound_and_every_key_and_place_is_with_the_job_that_has_it(self):
        execute = self.store._writer.execute
        for name, check in CHECKS.items():
            assert list(execute(check)) == [], name
        rows = self.model.jobs.values()
        assert set(execute("SELECT key, job FROM unique_key")) == {(row.key, row.id) for row in rows if row.has_key}
        assert set(execute("SELECT group_key, job FROM group_place")) == {(row.group, row.id) for row in rows if row.has_place}

    def teardown(self):
        self.patch.undo()
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            self.loop.run_until_complete(self.running)
        self.loop.run_until_complete(self.store.close())
        self.loop.close()


def _seen(job):
    return (
        job.id,
        job.queue,
        job.state.value,
        job.held,
        job.ready_at,
        job.priority,
        job.size,
        job.attempt,
        job.failures,
        job.crashes,
        job.reason,
        job.extras.worker,
        job.extras.expires_at,
        job.extras.batch,
    )


def _told(row):
    counts = row.attempt, row.failures, row.crashes
    return (
        row.id,
        row.queue,
        row.state,
        row.held,
        row.ready_at,
        row.priority,
        row.size,
        *counts,
        row.reason,
        row.worker,
        row.expires_at,
        row.batch,
    )


@pytest.mark.timeout(900)  # a story that goes wrong takes minutes to be shortened, and that is worth waiting for
class TestStory(Story.TestCase):
    """What pytest collects."""
