"""The engine against a model: long random stories, told to both, after each step of which both agree.

A step is a list of numbers, each standing for one command that fits the moment; they are told one after the other, or together in one
transaction. Compared are every answer, every job, every tally, and who holds which key and place; the checks that look after a store file
find nothing either. Hypothesis shortens a story that goes wrong, and prints how to tell it again.
"""

import asyncio
import random
from contextlib import suppress
from importlib.resources import files

import pytest
import uvloop
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from holdfast.clock import ManualClock
from holdfast.engine import commands as c
from holdfast.engine.inprocess import InProcess
from holdfast.job.job import Content, Extras, IdempotencyKey, LeaseRef, NewJob, State, UniqueWhile
from holdfast.job.queue import QueuePolicy, QueueSettings
from holdfast.stores.queries import GetQueue, ListJobs
from holdfast.stores.sqlite.store import SqliteStore
from tests.engine.model import Model

SETTINGS = {
    "small": QueueSettings(capacity_jobs=6, capacity_bytes=40, max_crashes=2),
    "large": QueueSettings(max_running=4, max_attempts=3, max_crashes=3),
}
QUEUES = tuple(SETTINGS)
CHECKS = {entry.name: entry.read_text() for entry in files("holdfast.stores.sqlite").joinpath("checks").iterdir()}
STEP_MS = 10
NEVER = LeaseRef(1, 1, 1, bytes(16))
ON_A_JOB = (c.RetryJob, c.CancelJob, c.PromoteJob, c.DeleteJob, c.EditJob, c.EditJob)

numbers = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=6)


class Teller:
    """Makes a command out of a number, of the jobs and leases that there are at that moment."""

    def __init__(self, number, model, refs):
        self.dice = random.Random(number)
        self.model = model
        self.refs = refs

    def command(self):
        kinds = [self.put] * 3 + [self.lease] * 3 + [self.end] * 4 + [self.manage] * 3 + [self.over_a_queue, self.tick]
        return self.dice.choice(kinds)()

    def put(self):
        jobs = [self.new() for _ in range(self.dice.randint(1, 3))]
        key = IdempotencyKey("s", self.dice.choice("1234"), self.dice.choice((b"a", b"a", b"b")))
        return c.Enqueue(jobs, self.dice.choice((None, None, key)))

    def new(self):
        pick = self.dice.choice
        extras = Extras(
            unique_key=pick((None, None, None, "u", "v")),
            unique_while=pick(tuple(UniqueWhile)),
            group_key=pick((None, "g", "h")),
            group_limit=pick((1, 1, 2)),
        )
        return NewJob(
            pick(QUEUES),
            self.payload(),
            priority=pick((None, 1, 2)),
            delay_ms=self.delay(),
            max_attempts=pick((None, 1, 2)),
            extras=extras,
        )

    def payload(self):
        return self.dice.choice((b"", b"1", b"1234567", b"x" * 15))

    def delay(self):
        return self.dice.choice((0, 0, STEP_MS, 3 * STEP_MS))

    def lease(self):
        queues = self.dice.choice((QUEUES, QUEUES[::-1], QUEUES[:1], QUEUES[1:], ("small", "large", "small")))
        lease_ms = self.dice.choice((STEP_MS, 5 * STEP_MS, 50 * STEP_MS))
        return c.LeaseJobs(queues, self.dice.randint(1, 3), "w", lease_ms, by_priority=self.dice.random() < 0.5)

    def end(self):
        pick = self.dice.choice
        current = [row.ref for row in self.model.jobs.values() if row.ref is not None]
        ref = pick(current if current and self.dice.random() < 0.8 else self.refs)
        if self.dice.random() < 0.05:
            ref = pick((replace(ref, secret=bytes(16)), replace(ref, attempt=ref.attempt + 1)))
        return pick(
            (
                c.ConcludeLease(ref),
                c.FailLease(ref, "no", self.dice.random() < 0.6, self.delay()),
                c.FailLease(ref, "no", True, 0),
                c.ReleaseLease(ref, self.delay(), pick((None, 1, 2))),
                c.ExtendLease(ref, pick((STEP_MS, 5 * STEP_MS))),
            )
        )

    def manage(self):
        """Jobs of each state are named equally often, and now and then one that is not there."""
        states = sorted({row.state for row in self.model.jobs.values()})
        state = self.dice.choice([*states, "none"])
        job_id = self.dice.choice(
            [row.id for row in self.model.jobs.values() if row.state == state] or [self.model.last_id + 1]
        )
        verb = c.RetryJob if state == "dead" and self.dice.random() < 0.5 else self.dice.choice(ON_A_JOB)
        if verb is not c.EditJob:
            return verb(job_id)
        content = self.dice.choice((None, Content("", None, self.payload())))
        priority, delay = self.dice.choice((None, 1, 2)), self.dice.choice((None, self.delay()))
        return c.EditJob(job_id, content, priority=priority, delay_ms=delay)

    def over_a_queue(self):
        states = self.dice.choice(((State.READY,), (State.SCHEDULED, State.CANCELLED), (State.DEAD,), (State.CONCLUDED,)))
        name = self.dice.choice(QUEUES)
        return self.dice.choice((c.PauseQueue(name, self.dice.random() < 0.3), c.PurgeQueue(name, states, 0, 1_000)))

    def tick(self):
        return self.dice.choice((c.ExpireLeases(1_000), c.PromoteDue(1_000)))


class Story(RuleBasedStateMachine):
    """One story, told to the engine and to the model."""

    @initialize()
    def begin(self):
        self.loop = uvloop.new_event_loop()
        self.clock = ManualClock()
        self.store = SqliteStore(None, QueuePolicy())
        self.backing = InProcess(self.store, self.clock)
        self.running = self.loop.create_task(self.backing.committer.run())
        for name, settings in SETTINGS.items():
            self.ask(c.SetQueue(name, settings, whole=True))
        self.model = Model({name: QueuePolicy().with_settings(settings) for name, settings in SETTINGS.items()})
        self.refs = [NEVER]

    def ask(self, *requests, next_due=False):
        async def all_of_them():
            answers = [await future for future in [self.backing.submit(request) for request in requests]]
            return [*answers, await self.store.next_due()] if next_due else answers

        return self.loop.run_until_complete(all_of_them())

    def tell(self, *commands):
        """Both are told the same; the answers must be the same."""
        expected = self.model.apply(commands, self.clock.now())
        results = self.ask(*commands)
        assert [self.brief(result) for result in results] == expected, commands
        for result in results:
            if isinstance(result, c.Granted):
                self.note(result)

    def note(self, granted):
        for one in granted.jobs:
            ref = one.job.ref()
            assert ref.fence > self.refs[-1].fence or ref.fence == 1, "fences only grow"
            self.model.jobs[ref.job].ref = ref
            self.refs.append(ref)

    @staticmethod
    def brief(result):
        """What the model says of the same command."""
        match result:
            case c.Refused():
                return result.code
            case c.Enqueued():
                return [receipt.id for receipt in result.jobs], result.duplicate
            case c.Granted():
                return [(one.job.id, one.job.attempt) for one in result.jobs]
            case c.Outcome():
                return result.state.value, result.ready_at
            case c.Extended():
                return result.ms_left, result.cancel_requested
            case c.Changed():
                return result.job.id
            case c.Counted():
                return result.count
        return result.paused

    # Steps

    @rule(numbers=numbers)
    def one_after_the_other(self, numbers):
        for number in numbers:
            self.tell(Teller(number, self.model, self.refs).command())

    @rule(numbers=numbers)
    def together(self, numbers):
        self.tell(*(Teller(number, self.model, self.refs).command() for number in numbers))

    @rule(ms=st.sampled_from([1, STEP_MS, STEP_MS, 5 * STEP_MS]), tick=st.sampled_from([True, True, False]))
    def time_goes_on(self, ms, tick):
        self.clock.advance(ms)
        if tick:
            self.tell(c.ExpireLeases(1_000), c.PromoteDue(1_000))

    # What always holds

    @invariant()
    def both_agree(self):
        page, *queues, due = self.ask(ListJobs(1_000), *(GetQueue(name) for name in QUEUES), next_due=True)
        assert page.cursor is None
        self.every_job_is_what_the_model_says([detail.job for detail in page.jobs])
        self.every_tally_is_exact_and_within_its_bounds(queues)
        self.the_store_is_sound_and_every_key_and_place_is_with_the_job_that_has_it()
        moments = [row.until for row in self.model.jobs.values() if row.state == "leased"]
        moments += [row.ready_at for row in self.model.jobs.values() if row.state == "scheduled"]
        assert due == min(moments, default=None)

    def every_job_is_what_the_model_says(self, jobs):
        assert sorted(map(_seen, jobs)) == sorted(map(_told, self.model.jobs.values()))
        for job in jobs:
            row = self.model.jobs[job.id]
            assert (job.lease is not None) == (job.state is State.LEASED)
            if job.lease is not None:
                assert (job.ref(), job.lease.until, job.lease.cancel_requested) == (row.ref, row.until, row.cancel)

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
    )


def _told(row):
    return row.id, row.queue, row.state, row.held, row.ready_at, row.priority, row.size, row.attempt, row.failures, row.crashes


@pytest.mark.timeout(900)  # a story that goes wrong takes minutes to be shortened, and that is worth waiting for
class TestStory(Story.TestCase):
    """What pytest collects."""
