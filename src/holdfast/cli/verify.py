"""`holdfast verify`: does a server keep what it answers? It may be killed, restarted or failed over meanwhile; that is what it is for.

Producers enqueue numbered jobs, workers lease and conclude them, all in a queue of its own. Whatever is answered is written down. At the end
nothing that was answered may be missing, and nothing may have been done twice. What is not answered is repeated with the same key or token.
"""

import asyncio
import contextlib
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import click
from msgspec import Raw

from holdfast.cli.context import ENDED_OTHERWISE, REFUSED, Duration, addressed, examples, refusals, refuse, show
from holdfast.cli.ledger import LEVELS, Ledger, in_words
from holdfast.cli.output import tell
from holdfast.cli.profiles import Profile
from holdfast.cli.trial import for_option, own_queue, prefix_option, run_trial, with_one_refusal
from holdfast.client import AsyncClient, Unreachable
from holdfast.client.refusals import UnexpectedAnswer
from holdfast.client.types import Job, Queue
from holdfast.errors import HoldfastError, JobNotFound, LeaseLost, NotFound, OutcomeUnknown, RateLimited, Unavailable
from holdfast.units import counted

T = TypeVar("T")
_LEASE_MS = 3_000
_WAIT_MS = 500
_TRY_S, _PATIENCE_S = 2.0, 10.0
_AGAIN_S = 0.1
_AHEAD = 1_000  # jobs that are enqueued and not concluded
_LONGEST_MS = 3_600_000  # what is written down takes memory
_LOOKED_AT = 500  # results, after the end
_SURE_S = _LEASE_MS / 2_000  # that a lease lasts, even if the clocks of two nodes differ
_DIGITS = 20
_EVERY = 20
_REPEATED, _CONCLUDED_AGAIN, _STALLED = 3, 11, 7  # of each so many numbers: what is done to them on purpose


class Plan(NamedTuple):
    """How long, and by how many."""

    seconds: float
    settle_s: float
    producers: int
    workers: int


class Trial:
    """One run over one queue."""

    def __init__(self, client: AsyncClient, queue: str, plan: Plan) -> None:
        self._client = client
        self._queue = queue
        self._plan = plan
        self._key = secrets.token_hex(8)
        self._numbers = itertools.count()
        self._room = asyncio.Semaphore(_AHEAD)
        self._began = time.monotonic()
        self._until = self._began + plan.seconds
        self._give_up = self._until + plan.settle_s
        self._producing = plan.producers
        self._down = False
        self._stalled: dict[int, str] = {}
        self._sent = 0
        self.ledger = Ledger()

    async def run(self) -> None:
        """Until all that was promised is concluded, or the time is up."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._plan.producers):
                tasks.create_task(self._produce())
            for _ in range(self._plan.workers):
                tasks.create_task(self._work())

    async def _produce(self) -> None:
        while await self._has_room():
            number = next(self._numbers)
            self._sent = number + 1
            try:
                await self._enqueue(number)
                if number % _EVERY == _REPEATED:
                    self.ledger.repeated += 1
                    await self._enqueue(number)
            except _NOT_NOW:
                if number not in self.ledger.promised:
                    self.ledger.unknown.add(number)
        self._producing -= 1

    async def _has_room(self) -> bool:
        """Wait until the workers have caught up; False once the time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._until - time.monotonic()):
                await self._room.acquire()
            return time.monotonic() < self._until
        return False

    async def _enqueue(self, number: int) -> None:
        key = f"{self._key}-{number}"
        receipt = await self._answered(lambda: self._client.enqueue(self._queue, number, idempotency_key=key))
        self.ledger.promise(number, receipt.id, receipt.durability.level)

    async def _work(self) -> None:
        try:
            while self._producing or (self.ledger.missing and time.monotonic() < self._give_up):
                try:
                    asked, jobs = await self._answered(self._lease)
                except NotFound:  # a store in memory was begun anew
                    jobs = []
                    await asyncio.sleep(_AGAIN_S)
                for job, number in self._seen(jobs, asked):
                    await self._take(job, number)
                if not jobs and not self._producing and await self._is_empty():
                    return  # what is missing still is lost
        except _NOT_NOW:
            return  # the server did not come back in time

    async def _lease(self) -> tuple[float, list[Job]]:
        """When these jobs were asked for, and the jobs."""
        asked = time.monotonic()
        return asked, await self._client.lease(self._queue, max=10, lease_ms=_LEASE_MS, wait_ms=_WAIT_MS)

    async def _is_empty(self) -> bool:
        try:
            left = (await self._answered(lambda: self._client.queue(self._queue))).jobs
        except NotFound:
            return True
        return not left.ready and not left.leased and not left.scheduled

    def _seen(self, jobs: list[Job], asked: float) -> list[tuple[Job, int | None]]:
        """The jobs of an answer with their numbers, all written down before the first is worked on: its lease may have ended once the last is."""
        found = [(job, _number_in(job.payload_json)) for job in jobs]
        for job, number in found:
            if number is None or number >= self._sent:
                self.ledger.broken.append(f"job {job.id} has a payload that nobody enqueued")
            else:
                self.ledger.see(number, job.id, time.monotonic(), asked + _SURE_S)
        return found

    async def _take(self, job: Job, number: int | None) -> None:
        assert job.lease is not None, "it was leased"
        token = job.lease.token
        if number is None or number >= self._sent:
            await self._concluded(None, token)
            return
        if number % _EVERY == _STALLED and number not in self._stalled:
            self._stalled[number] = token  # as a worker that hangs: its lease ends, and another gets the job
            return
        if not await self._concluded(number, token):
            return
        self.ledger.conclude(number)
        self._room.release()
        if number % _EVERY == _CONCLUDED_AGAIN:
            self.ledger.repeated += 1
            if not await self._concluded(number, token):
                self.ledger.forgotten.append(f"job {job.id} was concluded, and the same call was refused when it was repeated")
        if stale := self._stalled.get(number):
            if await self._concluded(number, stale):
                self.ledger.broken.append(f"a stale lease was let in: that of job {job.id}, attempt {job.attempt - 1}")
            else:
                self.ledger.stale_refused += 1

    async def _concluded(self, number: int | None, token: str) -> bool:
        try:
            await self._answered(lambda: self._client.conclude(token, number))
        except (LeaseLost, NotFound):
            return False
        return True

    async def _answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer, and note for how long there was none."""
        began = time.monotonic()
        while True:
            try:
                answer = await ask()
            except _NOT_NOW as error:
                if isinstance(error, UnexpectedAnswer) and (error.status or 0) < 500:
                    raise
                if not self._down:
                    self._down = True
                    tell(f"holdfast: {error}")
                if time.monotonic() >= self._give_up:
                    raise
                await asyncio.sleep(_AGAIN_S)
            else:
                self._down = False
                self.ledger.longest_s = max(self.ledger.longest_s, time.monotonic() - began)
                return answer

    async def judge(self, client: AsyncClient, expected: str | None) -> dict[str, Any]:
        """Look for what was promised, and say what is broken."""
        lost = [number for number in self.ledger.missing if not await self._is_there(client, number)]
        kept: set[int] = set()
        queue: Queue | None = None
        try:
            queue = await client.queue(self._queue)
            async for job in client.jobs(queue=self._queue, state="concluded", payload=False, page=1_000):
                kept.add(job.id)
        except NotFound:  # a store in memory was begun anew
            pass
        for job_id in secrets.SystemRandom().sample(sorted(kept), min(_LOOKED_AT, len(kept))):  # a listing has no results
            await self._look_at_result(client, job_id)
        if self.ledger.durability == {"memory"}:
            self.ledger.restarted = (await client.stats(named=self._queue))[
                "uptime_ms"
            ] / 1_000 < time.monotonic() - self._began
        return self.ledger.judged(lost, kept, queue, expected)

    async def _is_there(self, client: AsyncClient, number: int) -> bool:
        try:
            return (
                _number_in((await client.job(self.ledger.promised[number])).payload_json) == number
            )  # else it is another's id
        except JobNotFound:
            return False

    async def _look_at_result(self, client: AsyncClient, job_id: int) -> None:
        try:
            number = _number_in((await client.job(job_id)).result_json)
        except JobNotFound:
            self.ledger.broken.append(f"lost: job {job_id} is listed as concluded, and is not there")
            return
        if number is None or job_id not in self.ledger.ids.get(number, ()):
            self.ledger.broken.append(f"lost: job {job_id} was concluded with another result")


def _number_in(content: Raw) -> int | None:
    """What a payload or a result is, if a job of this run has it: its number."""
    written = bytes(content)
    return int(written) if written.isdigit() and len(written) < _DIGITS else None


_NOT_NOW = (Unreachable, OutcomeUnknown, Unavailable, RateLimited, UnexpectedAnswer)


async def _verified(place: Profile, plan: Plan, expected: str | None, prefix: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    async with (
        AsyncClient(**place._asdict(), deadline_s=_TRY_S) as client,
        AsyncClient(**place._asdict(), deadline_s=_PATIENCE_S) as patient,
    ):
        settings: Any = {"retention_ms": None, "retention_jobs": None, "retention_bytes": None}
        async with own_queue(patient, prefix, settings, lambda: bool(told.get("broken"))) as queue:
            trial = Trial(client, queue, plan)
            await with_one_refusal(trial.run())
            try:
                told = await trial.judge(patient, expected)
            except HoldfastError:
                tell(f"holdfast: {counted(len(trial.ledger.promised), 'job')} answered as stored could not be looked for")
                raise
    return told


@click.command(
    epilog=examples(
        "holdfast verify",
        "holdfast verify --for 5m --durability replicated     # and meanwhile take the primary away",
        "holdfast verify --json | jq .sound",
    )
)
@for_option(_LONGEST_MS, "1h")
@click.option(
    "--settle", "settle_ms", type=Duration(), default="60s", show_default=True, help="How long to wait for the rest then."
)
@click.option("--producers", type=click.IntRange(1, 64), default=4, show_default=True, help="How many enqueue at once.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=4, show_default=True, help="How many lease and conclude at once."
)
@click.option("--durability", type=click.Choice(LEVELS), help="The least that every answer has to say.")
@prefix_option("holdfast-verify")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@addressed
def verify(
    place: Profile,
    for_ms: int,
    settle_ms: int,
    producers: int,
    workers: int,
    durability: str | None,
    prefix: str,
    as_json: bool,
) -> None:
    """Verify that a server keeps what it answers, while it is killed and restarted. It works in a queue of its own: nothing in it may be lost or done twice.

    Some calls are repeated on purpose, and some workers hang until their lease has ended: a repeated call must change nothing, and a stale lease must be
    refused. Exit code 1: a promise was broken, and the queue is kept for a look. 5: jobs were still there when the time was up.
    """
    plan = Plan(for_ms / 1_000, settle_ms / 1_000, producers, workers)
    with refusals():
        tell(f"holdfast: verifying for {plan.seconds:g}s; the server may be killed and restarted meanwhile")
        told = run_trial(_verified(place, plan, durability, prefix))
        show(told, as_json, in_words(told))
        if not told["sound"]:
            refuse("a promise was broken" if told["broken"] else "the durability is less than was asked for", REFUSED)
        if told["unfinished"]:
            refuse("jobs were still there when the time was up", ENDED_OTHERWISE)
