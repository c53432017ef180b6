"""The mutants: what each breaks, in which module, and which checkers must detect it.

Each is as small as the defect that it represents; several are documented defects of well-known queues. `change` gets the
freshly imported module of the server and patches it in place.
"""

# ruff: noqa: SLF001 (a mutation changes private parts)
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

AT_WORK = 3  # members of a batch that a mutant takes no account of
Server = Any  # instead of the server's types: they do not exist yet when this module is imported


@dataclass(frozen=True, slots=True)
class Mutant:
    """`faults` in order of preference: the first that this machine can do is run against the mutant."""

    name: str
    module: str
    change: Callable[[ModuleType], None]
    caught_by: frozenset[str]
    faults: tuple[str, ...] = ("calm",)


ALL: dict[str, Mutant] = {}


Change = Callable[[ModuleType], None]


def mutant(
    module: str, *caught_by: str, faults: tuple[str, ...] = ("calm",), into: dict[str, Mutant] = ALL
) -> Callable[[Change], Change]:
    """Register a change under the name of its function, with dashes."""

    def enter(change: Change) -> Change:
        name = change.__name__.replace("_", "-")
        into[name] = Mutant(name, f"holdfast.{module}", change, frozenset(caught_by), faults)
        return change

    return enter


# ------------------------------------------------------------------------------------------------------ durability


@mutant("committer.committer", "C11", "C1", faults=("ack-order", "kill-server"))
def answer_before_commit(module: ModuleType) -> None:
    """Answers leave when the batch is decided, and the commit follows."""

    async def commit(self: Server, taken: list[Any]) -> None:
        async with self._store.transaction() as tx:
            batch = module.Batch(tx, self._clock.now(), True, self.listeners > 0)
            results = await module.decide(batch, [command for command, _, _ in taken])
            news = await batch.finish()
            for (_, sink, tag), result in zip(taken, results, strict=True):
                sink.deliver(tag, result)
            await module.asyncio.sleep(0.001)  # the answers are on the wire before the commit begins
            await tx.commit()
        self._publish(news)
        if batch.earliest is not None:
            self._due_at(batch.earliest)

    module.Committer._commit = commit


@mutant("stores.sqlite.connect", "C1", "C7", "C11", faults=("power-loss", "ack-order"))
def no_sync(module: ModuleType) -> None:
    """PRAGMA synchronous = OFF: a killed process loses nothing, a machine that loses power everything."""
    honest = module.open_writer

    def open_writer(*given: Any) -> Server:
        connection = honest(*given)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    module.open_writer = open_writer


@mutant("committer.batch", "C7")
def delete_is_not_done(module: ModuleType) -> None:
    """A deletion is acknowledged and not done."""
    honest = module.Batch.change

    def change(self: Server, verb: str, *what: Any, **more: Any) -> None:
        if verb != module.events.DELETED:
            honest(self, verb, *what, **more)

    module.Batch.change = change


# ---------------------------------------------------------------------------------------------------------- leases


@mutant("committer.conclude", "C2")
def no_token_check(module: ModuleType) -> None:
    """Conclude goes by the job's id, whoever holds the lease now: as in five of six queues on PostgreSQL."""
    honest = module.Conclude.conclude

    async def conclude(self: Server, command: Server) -> Server:
        job = await self.batch.latest(command.ref.job)
        if job is None or job.lease is None or job.is_held_by(command.ref):
            return await honest(self, command)
        self.held[job.lease.fence] = job
        return await honest(self, module.replace(command, ref=job.ref()))

    module.Conclude.conclude = conclude


@mutant("committer.conclude", "C2")
def conclude_is_not_done(module: ModuleType) -> None:
    """A conclusion is acknowledged and not done, so the job runs again."""
    honest = module.Conclude.conclude

    async def conclude(self: Server, command: Server) -> Server:
        job = self.held.get(command.ref.fence)
        if job is None or job.id % 5:
            return await honest(self, command)
        return module.Outcome(job.id, type(job.state).CONCLUDED, job.ready_at)

    module.Conclude.conclude = conclude


@mutant("committer.expiry", "C3", "C2")
def leases_end_early(module: ModuleType) -> None:
    """Leases expire 300 ms early, as by a server whose clock runs ahead."""
    early_ms = 300

    async def expire(batch: Server, command: Server) -> Server:
        jobs = await batch.tx.expired(batch.now + early_ms, command.limit)
        for job in jobs:
            queue = await batch.own(job)
            batch.change(module.events.EXPIRED, queue, job, module.lifecycle.expire(job, batch.now + early_ms, 1000))
        return module.Counted(len(jobs))

    module.expire = expire


@mutant("committer.expiry", "C8")
def leases_end_late(module: ModuleType) -> None:
    """Leases expire late, as by a sweeper that seldom runs."""
    honest = module.expire

    async def expire(batch: Server, command: Server) -> Server:
        now, batch.now = batch.now, batch.now - 12_000
        try:
            return await honest(batch, command)
        finally:
            batch.now = now

    module.expire = expire


@mutant("job.lifecycle", "C4")
def attempts_are_given_back(module: ModuleType) -> None:
    """A release takes its attempt back, so that two leases of one job have the same number."""
    honest = module.release

    def release(job: Server, *how: Any) -> Server:
        return module.replace(honest(job, *how), attempt=job.attempt - 1)

    module.release = release


# ---------------------------------------------------------------------------------------------------------- bounds


@mutant("committer.enqueue", "C1", "C7")
def drop_oldest(module: ModuleType) -> None:
    """A full queue makes room by removing its oldest job: the default of more than one broker."""
    honest = module.put

    async def put(batch: Server, jobs: list[Any], *more: Any, **named: Any) -> Any:
        for name in {new.queue for new in jobs}:
            queue = await batch.queue_made(name)
            over = queue.tally.unfinished + sum(new.queue == name for new in jobs) - queue.policy.capacity_jobs
            if over > 0:
                await batch.flush()
                for job, _ in await batch.tx.ready(queue, over):
                    batch.change(module.events.DELETED, queue, job, None)
        return await honest(batch, jobs, *more, **named)

    module.put = put


@mutant("job.queue", "C6")
def no_bound(module: ModuleType) -> None:
    """Never full."""
    module.Queue.has_room = lambda *_: True


@mutant("job.queue", "C6")
def full_too_soon(module: ModuleType) -> None:
    """Some room is never used: a counter that leaked."""
    honest = module.Queue.has_room
    module.Queue.has_room = lambda self, jobs, size: honest(self, jobs + 5, size)


# ------------------------------------------------------------------------------------------------------------ keys


@mutant("committer.committer", "C13")
def who_waits_looks_in_vain(module: ModuleType) -> None:
    """A call that would wait is answered from memory that there is nothing, though there is."""
    module.Committer._is_in_vain = lambda *_: True


@mutant("committer.batch", "C9", faults=("lost-answers",))
def keys_are_forgotten(module: ModuleType) -> None:
    """Idempotency keys are not stored."""
    honest = module.Batch.finish

    async def finish(self: Server) -> Server:
        self.keeping.clear()
        return await honest(self)

    module.Batch.finish = finish


@mutant("job.job", "C9")
def unique_keys_are_ignored(module: ModuleType) -> None:
    """Unique keys are not enforced."""
    module.Job.holds_unique_key = property(lambda _: False)


@mutant("committer.enqueue", "C10", "C9")
def bulk_is_torn(module: ModuleType) -> None:
    """A bulk that does not fit is enqueued in part, and refused."""
    honest = module.put

    async def put(batch: Server, jobs: list[Any], *more: Any, **named: Any) -> Server:
        try:
            return await honest(batch, jobs, *more, **named)
        except module.QueueFull:
            if len(jobs) > 1:
                await honest(batch, jobs[:1], *more, **named)
            raise

    module.put = put


# ------------------------------------------------------------------------------------------------------------ flow


@mutant("job.budget", "C14")
def a_window_that_begins_anew(module: ModuleType) -> None:
    """A rate is counted in fixed windows: around the end of one, twice as many start. The usual counter of rate limiters."""
    honest = module.owed

    def owed(account: Server, budget: Server, now: int) -> int:
        return 0 if now // budget.per_ms != account.owed_at // budget.per_ms else honest(account, budget, now)

    module.owed = owed


@mutant("job.budget", "C14")
def one_unit_too_many(module: ModuleType) -> None:
    """More is held than the limit, as where two count at once and neither sees the other."""
    honest = module.left
    module.left = lambda account, budget, now: honest(account, budget, now) + (budget.per_ms is None)


@mutant("job.budget", "C14")
def a_block_is_forgotten(module: ModuleType) -> None:
    """A worker says that an account is exhausted on the other side, and its jobs go on being started."""
    module.block = lambda *_: None


@mutant("committer.job_batches", "C15")
def two_see_themselves_as_the_last(module: ModuleType) -> None:
    """The closing job is put by each of two members that end at once: a counter that is read before it is locked."""
    honest = module._put_or_owe

    async def put_or_owe(batch: Server, found: Server, on: Server, closing: Server) -> Server:
        done = await honest(batch, found, on, closing)
        if done and found.concluded > 1:
            await honest(batch, found, on, closing)
        return done

    module._put_or_owe = put_or_owe


@mutant("job.job_batch", "C15")
def a_batch_ends_too_soon(module: ModuleType) -> None:
    """A batch is over when its last members have been started: it counts what waits, not what is at work."""
    module.JobBatch.finished = property(lambda batch: batch.closed and batch.pending <= AT_WORK)


@mutant("committer.job_batches", "C15", faults=("kill-server",))
def closing_jobs_are_not_kept(module: ModuleType) -> None:
    """A closing job is put after the commit that makes it due, from memory: a fan-in by callback, and a crash loses it."""
    honest = module._closing_jobs
    module.made_here = set()

    async def make(batch: Server, command: Server) -> Server:
        made = await honest_make(batch, command)
        module.made_here.add(made.id)
        return made

    async def closing_jobs(batch: Server, found: Server) -> Server:
        return await honest(batch, found) if found.id in module.made_here else {}

    async def put_or_owe(batch: Server, found: Server, on: Server, closing: Server) -> bool:
        return bool(await honest_put(batch, found, on, closing)) if closing is not None else False

    honest_make, honest_put = module.make, module._put_or_owe
    module.make, module._closing_jobs, module._put_or_owe = make, closing_jobs, put_or_owe


@mutant("job.fair", "C17")
def the_oldest_is_always_next(module: ModuleType) -> None:
    """Fair by name: turns do not move on, so that whoever came first with many jobs has them all done first."""
    module.step = lambda *_: 0


@mutant("committer.expiry", "C16")
def deadlines_are_swept(module: ModuleType) -> None:
    """Whether a job has expired is looked at by a sweeper only, which comes late: until then it is given out."""
    honest = module.end_overdue
    module.deadlines.has_passed = lambda *_: False

    async def end_overdue(batch: Server, command: Server) -> Server:
        now, batch.now = batch.now, batch.now - 2_000
        try:
            return await honest(batch, command)
        finally:
            batch.now = now

    module.end_overdue = end_overdue
