"""The engine against a model: long random stories, each step a transaction of one or several commands, and after each step both agree.

Compared are every answer, every job, every tally and who is next; the checks that look after a store file find nothing either. Hypothesis
shortens a story that goes wrong, and prints how to tell it again.
"""

import asyncio
from contextlib import suppress
from importlib.resources import files

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
    "large": QueueSettings(max_running=3, max_attempts=3, max_crashes=3),
}
QUEUES = tuple(SETTINGS)
CHECKS = {entry.name: entry.read_text() for entry in files("holdfast.stores.sqlite").joinpath("checks").iterdir()}
STEP_MS = 10
NEVER = LeaseRef(1, 1, 1, bytes(16))

delays = st.sampled_from([0, 0, STEP_MS, 3 * STEP_MS])
payloads = st.sampled_from([b"", b"1", b"1234567", b"x" * 15])
priorities = st.sampled_from([None, 1, 2])
extras = st.builds(
    Extras,
    unique_key=st.sampled_from([None, None, None, "u", "v"]),
    unique_while=st.sampled_from(UniqueWhile),
    group_key=st.sampled_from([None, None, "g", "h"]),
    group_limit=st.sampled_from([1, 1, 2]),
)
new_jobs = st.builds(
    NewJob,
    queue=st.sampled_from(QUEUES),
    payload=payloads,
    priority=priorities,
    delay_ms=delays,
    max_attempts=st.sampled_from([None, 1, 2]),
    extras=extras,
)
keys = st.none() | st.builds(
    IdempotencyKey, scope=st.just("s"), key=st.sampled_from(["1", "2", "3"]), digest=st.sampled_from([b"a", b"a", b"b"])
)
puts = st.builds(c.Enqueue, jobs=st.lists(new_jobs, min_size=1, max_size=3), key=keys)
leases = st.builds(
    c.LeaseJobs,
    queues=st.sampled_from([QUEUES, QUEUES[::-1], QUEUES[:1], QUEUES[1:], ("small", "large", "small")]),
    limit=st.integers(1, 3),
    worker=st.just("w"),
    lease_ms=st.sampled_from([STEP_MS, 5 * STEP_MS, 50 * STEP_MS]),
    by_priority=st.booleans(),
)
over_queues = st.builds(c.PauseQueue, name=st.sampled_from(QUEUES), paused=st.booleans()) | st.builds(
    c.PurgeQueue,
    name=st.sampled_from(QUEUES),
    states=st.sampled_from([(State.READY,), (State.SCHEDULED, State.CANCELLED), (State.DEAD, State.CONCLUDED)]),
    up_to=st.just(0),
    limit=st.just(1_000),
)
time_passes = st.sampled_from([c.ExpireLeases(1_000), c.PromoteDue(1_000)])


def on_jobs(job_ids):
    """Managing one job."""
    verbs = [st.builds(verb, id=job_ids) for verb in (c.RetryJob, c.CancelJob, c.PromoteJob, c.DeleteJob)]
    content = st.none() | st.builds(Content, type=st.just(""), content_type=st.none(), payload=payloads)
    return st.one_of(*verbs, st.builds(c.EditJob, id=job_ids, content=content, priority=priorities, delay_ms=st.none() | delays))


def on_leases(refs):
    """Ending or extending one lease."""
    return st.one_of(
        st.builds(c.ConcludeLease, ref=refs),
        st.builds(c.FailLease, ref=refs, reason=st.just("no"), retry=st.sampled_from([True, True, False]), delay_ms=delays),
        st.builds(c.ReleaseLease, ref=refs, delay_ms=delays, priority=priorities),
        st.builds(c.ExtendLease, ref=refs, lease_ms=st.sampled_from([STEP_MS, 5 * STEP_MS])),
    )


def stale(refs):
    """Leases as they once were, and some that nobody ever held."""
    once = st.sampled_from(refs)
    forged = once.map(lambda ref: replace(ref, secret=bytes(16))), once.map(lambda ref: replace(ref, attempt=ref.attempt + 1))
    return st.one_of(once, *forged)


class Story(RuleBasedStateMachine):
    """One story, told to the engine and to the model."""

    @initialize()
    def begin(self):
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.store = SqliteStore(None, QueuePolicy())
        self.backing = InProcess(self.store, self.clock)
        self.running = self.loop.create_task(self.backing.committer.run())
        for name, settings in SETTINGS.items():
            self.ask(c.SetQueue(name, settings, whole=True))
        self.model = Model({name: QueuePolicy().with_settings(settings) for name, settings in SETTINGS.items()})
        self.refs = [NEVER]
        self.last_fence = 0

    def ask(self, *requests):
        async def all_of_them():
            return [await future for future in [self.backing.submit(request) for request in requests]]

        return self.loop.run_until_complete(all_of_them())

    def told(self, commands):
        """Both are told the same; the answers must be the same."""
        expected = self.model.apply(commands, self.clock.now())
        results = self.ask(*commands)
        assert [self.brief(result) for result in results] == expected
        for result in results:
            if isinstance(result, c.Granted):
                self.note(result)

    def note(self, granted):
        for one in granted.jobs:
            ref = one.job.ref()
            assert ref.fence > self.last_fence, "fences only grow"
            self.last_fence = ref.fence
            self.model.jobs[ref.job].ref = ref
            self.refs.append(ref)

    def brief(self, result):
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

    def a_command(self):
        """Anything that may be asked now; jobs of each state are named equally often, and current leases more often than stale ones."""
        by_state = {}
        for row in self.model.jobs.values():
            by_state.setdefault(row.state, []).append(row.id)
        ids = [st.sampled_from(ids) for ids in by_state.values()]
        current = [row.ref for row in self.model.jobs.values() if row.ref is not None] or self.refs
        ends, managing = on_leases(st.sampled_from(current)), on_jobs(st.one_of(*ids, st.just(self.model.last_id + 1)))
        often = [puts, puts, leases, leases, ends, ends, ends, managing, managing]
        return st.sampled_from([*often, on_leases(stale(self.refs)), over_queues]).flatmap(lambda strategy: strategy)

    @rule(data=st.data())
    def one_thing_happens(self, data):
        self.told([data.draw(self.a_command())])

    @rule(data=st.data())
    def several_things_happen_in_one_transaction(self, data):
        self.told(data.draw(st.lists(self.a_command() | time_passes, min_size=2, max_size=6)))

    @rule(data=st.data())
    def several_things_happen_one_after_the_other(self, data):
        for _ in range(data.draw(st.integers(2, 5))):
            self.told([data.draw(self.a_command())])

    @rule(ms=st.sampled_from([1, STEP_MS, STEP_MS, 5 * STEP_MS]), tick=st.sampled_from([True, True, False]))
    def time_goes_on(self, ms, tick):
        self.clock.advance(ms)
        if tick:
            self.told([c.ExpireLeases(1_000), c.PromoteDue(1_000)])

    # What always holds

    @invariant()
    def every_job_is_what_the_model_says(self):
        (page,) = self.ask(ListJobs(1_000))
        assert page.cursor is None
        found = {detail.job.id: detail.job for detail in page.jobs}
        assert len(found) == len(page.jobs)
        assert {job_id: _seen(job) for job_id, job in found.items()} == {
            row.id: (row.queue, row.state, row.held, row.attempt, row.failures, row.crashes, row.priority, row.size, row.ready_at)
            for row in self.model.jobs.values()
        }
        for job in found.values():
            assert (job.lease is not None) == (job.state is State.LEASED)
            if job.lease is not None:
                row = self.model.jobs[job.id]
                assert (job.ref(), job.lease.until, job.lease.cancel_requested) == (row.ref, row.until, row.cancel)

    @invariant()
    def every_tally_is_exact_and_within_its_bounds(self):
        for info in self.ask(*(GetQueue(name) for name in QUEUES)):
            assert info.tally == self.model.tally(info.name)
            assert info.tally.unfinished <= info.policy.capacity_jobs
            assert info.tally.bytes <= info.policy.capacity_bytes
            assert info.policy.max_running is None or info.tally.leased <= info.policy.max_running

    @invariant()
    def the_store_is_sound(self):
        for name, check in CHECKS.items():
            assert list(self.store._writer.execute(check)) == [], name

    @invariant()
    def keys_and_places_belong_to_those_who_have_them(self):
        rows = self.model.jobs.values()
        execute = self.store._writer.execute
        assert set(execute("SELECT key, job FROM unique_key")) == {(row.key, row.id) for row in rows if row.has_key}
        assert set(execute("SELECT group_key, job FROM group_place")) == {(row.group, row.id) for row in rows if row.has_place}

    @invariant()
    def the_next_moment_is_known(self):
        moments = [row.until for row in self.model.jobs.values() if row.state == "leased"]
        moments += [row.ready_at for row in self.model.jobs.values() if row.state == "scheduled"]
        assert self.loop.run_until_complete(self.store.next_due()) == min(moments, default=None)

    def teardown(self):
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            self.loop.run_until_complete(self.running)
        self.loop.run_until_complete(self.store.close())
        self.loop.close()


def _seen(job):
    state = job.state.value
    return job.queue, state, job.held, job.attempt, job.failures, job.crashes, job.priority, job.size, job.ready_at


TestStory = Story.TestCase
