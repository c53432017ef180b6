"""The verbs of a lease's holder: conclude, fail, release, extend. Only the current lease counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from holdfast.auth.scope import sees
from holdfast.committer import budgets, enqueue, job_batches, joining, unique
from holdfast.committer.batch import Batch
from holdfast.errors import LeaseLost
from holdfast.job import lifecycle, retry
from holdfast.job.job import NO_EXTRAS, READY, SCHEDULED, Job, JobError, LeaseRef, UniqueWhile
from holdfast.messages import events
from holdfast.messages.answers import Extended, Outcome
from holdfast.messages.beanstalk_commands import BuryLease
from holdfast.messages.commands import ConcludeLease, ExtendLease, FailLease, ReleaseLease, ShortenLease

LeaseVerb = ConcludeLease | FailLease | ReleaseLease | ExtendLease | ShortenLease | BuryLease


@dataclass(slots=True)
class Conclude:
    """The lease verbs of one batch, over the leases that they name."""

    batch: Batch
    held: dict[int, Job]
    extended: set[int] = field(default_factory=set)  # leases of jobs with budgets, in this batch

    @classmethod
    async def load(cls, batch: Batch, commands: Sequence[LeaseVerb]) -> "Conclude":
        """Load every lease that these commands name, in one go."""
        held = await batch.tx.leased(list({command.ref.fence for command in commands})) if commands else {}
        if any([job.extras.batch for job in held.values() if job.extras is not NO_EXTRAS]):  # noqa: C419  (quicker than a generator)
            ended = [held[fence] for one in commands if type(one) is ConcludeLease and (fence := one.ref.fence) in held]
            await joining.load(batch, [number for job in ended if (number := job.extras.batch) is not None])
        return cls(batch, held)

    async def conclude(self, command: ConcludeLease) -> Outcome:
        """The work is done."""
        batch, ref = self.batch, command.ref
        job = self._held(command)
        if job is None:
            return await self._concluded_before(ref)
        after = lifecycle.conclude(job, ref, batch.now, len(command.result or b""))
        queue = batch.queues.get(job.queue) or await batch.own(job)
        is_last = (
            job.extras is not NO_EXTRAS and job.extras.batch is not None and await job_batches.foresee(batch, job, command.then)
        )
        then = await enqueue.put(batch, command.then, job) if command.then else []
        batch.change(events.CONCLUDED, queue, job, after, result=command.result, then=then)
        del self.held[ref.fence]
        if is_last:
            await job_batches.settle(batch)
        return Outcome(after.id, after.state, after.ready_at, then)

    async def fail(self, command: FailLease) -> Outcome:
        """The attempt went wrong."""
        job, ref = self._held(command), command.ref
        if job is None:
            return await self._failed_before(ref)
        queue = await self.batch.own(job)
        delay = command.delay_ms
        if delay is None:
            delay = (
                0
                if command.crashed
                else retry.delay_ms(job.extras.retry or queue.policy.retry, job.failures + 1, self.batch.chance())
            )
        max_crashes = queue.policy.max_crashes if command.crashed else None
        after = lifecycle.fail(job, ref, self.batch.now, command.retry, delay, max_crashes)
        if command.block is not None:
            await budgets.block(self.batch, job, command.block)
        worker = job.lease.worker if job.lease else ""
        kind = "crashed" if command.crashed else "failed"
        error = JobError(job.attempt, self.batch.now, worker, kind, command.reason, ref.secret, job.leased_at, command.raised)
        await self._settle(events.FAILED, job, after, error=error)
        return Outcome(after.id, after.state, after.ready_at)

    async def release(self, command: ReleaseLease) -> Outcome:
        """The holder releases the job."""
        job = self._current(command)
        if command.until is not None and job.lease is not None and job.lease.until != command.until:
            raise lost(command.ref)
        after = lifecycle.release(job, command.ref, self.batch.now, command.delay_ms, command.priority)
        if job.extras is not NO_EXTRAS and job.extras.budgets:
            if command.block is not None:
                await budgets.block(self.batch, job, command.block)
            if command.ref.fence not in self.extended and not await self.batch.tx.extended(command.ref.fence):
                self.batch.given_back.add(job.id)
        elif command.block is not None:
            raise budgets.not_named(job, command.block)
        if command.counted and after.lease is None and after.ended_at is None:
            after = lifecycle.count_release(after, command.delay_ms)
        await self._settle(events.RELEASED, job, after)
        return Outcome(after.id, after.state, after.ready_at)

    async def bury(self, command: BuryLease) -> Outcome:
        """The holder buries the job."""
        job = self._current(command)
        after = lifecycle.bury(job, command.ref, self.batch.now, command.priority)
        await self._settle(events.BURIED, job, after)
        return Outcome(after.id, after.state, after.ready_at)

    async def extend(self, command: ExtendLease) -> Extended:
        """The holder extends the lease."""
        job = self._current(command)
        assert job.lease is not None, "a held job has a lease"
        lease_ms = command.lease_ms or job.extras.lease_ms or (await self.batch.own(job)).policy.lease_ms
        after = lifecycle.extend(job, command.ref, self.batch.now, self.batch.now + lease_ms)
        self.batch.change(events.EXTENDED, await self.batch.own(job), job, after, progress=command.progress)
        if job.extras is not NO_EXTRAS and job.extras.budgets:
            self.extended.add(command.ref.fence)
        self.held[command.ref.fence] = after
        return Extended(lease_ms, job.lease.cancel_requested)

    async def shorten(self, command: ShortenLease) -> Extended:
        """The holder's connection has broken."""
        job = self._current(command)
        after = lifecycle.shorten(job, command.ref, self.batch.now, command.least_ms)
        assert after.lease is not None, "a held job has a lease"
        if after is not job:
            self.batch.change(events.EXTENDED, await self.batch.own(job), job, after)
            self.held[command.ref.fence] = after
        return Extended(after.lease.until - self.batch.now, after.lease.cancel_requested)

    def _held(self, command: LeaseVerb) -> Job | None:
        """The leased job that this is about, where its caller may see it."""
        self.batch.scope = command.scope
        job = self.held.get(command.ref.fence)
        return job if job is not None and sees(command.scope, job.queue) else None

    def _current(self, command: LeaseVerb) -> Job:
        job = self._held(command)
        if job is None:
            raise lost(command.ref)
        return job

    async def _settle(self, verb: str, job: Job, after: Job, error: JobError | None = None) -> None:
        after = await returning(self.batch, job, after)
        self.batch.change(verb, await self.batch.own(job), job, after, error=error)
        if job.lease is not None:
            self.held.pop(job.lease.fence, None)

    async def _concluded_before(self, ref: LeaseRef) -> Outcome:
        """The same conclude again, because its answer was lost: the same answer again."""
        job = await self.batch.visible(ref.job)
        by = job.ended_by if job is not None else None
        if job is None or by is None or job.attempt != ref.attempt or (by.fence, by.secret) != (ref.fence, ref.secret):
            raise lost(ref)
        pending = self.batch.changes.get(job.id)
        then = pending.then if pending is not None else await self.batch.tx.followers(job.id)
        return Outcome(job.id, job.state, job.ready_at, then or [])

    async def _failed_before(self, ref: LeaseRef) -> Outcome:
        """The same failure repeated: recognized by the lease's secret, which an expired lease does not leave; the answer is the
        job's current state.
        """
        pending = self.batch.changes.get(ref.job)
        error = pending.error if pending is not None else None
        if error is None or error.attempt != ref.attempt:  # what this batch did may be about a later attempt
            error = await self.batch.tx.error_of(ref.job, ref.attempt)
        job = await self.batch.visible(ref.job)
        if job is None or error is None or error.attempt != ref.attempt or not ref.secret or error.secret != ref.secret:
            raise lost(ref)
        return Outcome(job.id, job.state, job.ready_at)


def lost(ref: LeaseRef) -> LeaseLost:
    """The refusal for a lease that does not exist."""
    return LeaseLost(
        f"The lease on job {ref.job}, attempt {ref.attempt}, is not held any more.", job_id=ref.job, attempt=ref.attempt
    )


async def returning(batch: Batch, before: Job, after: Job) -> Job:
    """A job that is ready again takes back a unique key that it released while it ran, unless another job has it by now."""
    if after.extras.unique_key is None or after.extras.unique_while is not UniqueWhile.QUEUED:
        return after
    if after.state not in (READY, SCHEDULED) or before.holds_unique_key:
        return after
    pair = (after.queue, after.extras.unique_key)
    if await unique.holder_of(batch, pair) is not None:
        return replace(after, extras=replace(after.extras, unique_key=None))
    batch.unique[pair] = after.id
    return after
