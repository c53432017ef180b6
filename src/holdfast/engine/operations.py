"""The verbs about operations: start, pause, resume, cancel, and another pace."""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from holdfast import limits
from holdfast.auth.caller import CALLER
from holdfast.engine import checks
from holdfast.engine.access import caller_here, permit
from holdfast.engine.submitter import Submitter
from holdfast.errors import QueueNotFound, breach
from holdfast.job.job import IdempotencyKey, State
from holdfast.job.operation import STATES, USUAL, Do, JobFilter, hidden
from holdfast.messages.audit import Managed
from holdfast.messages.operations import (
    CancelOperation,
    OperationAnswer,
    PauseOperation,
    SetOperationRate,
    StartOperation,
)
from holdfast.messages.queries import CountJobs
from holdfast.messages.views import JobCounts

if TYPE_CHECKING:
    from holdfast.engine.reader import Reader


class Operations:
    """Verbs on operations."""

    def __init__(self, submitter: Submitter, reading: "Reader") -> None:
        self._submitter = submitter
        self._reading = reading

    async def start(
        self,
        do: Do,
        wanted: JobFilter,
        to: str | None = None,
        per_s: float | None = None,
        limit: int | None = None,
        states: tuple[State, ...] = (),
        counted: JobCounts | None = None,
        once: IdempotencyKey | None = None,
    ) -> OperationAnswer:
        """Begin one; it goes on by itself, whatever restarts. `states`: other ones than are usual; `counted`: how many jobs match, if that is
        known; `once`: the caller's idempotency key.
        """
        command = StartOperation(do, wanted, states, to or "", per_s, limit, once=once)
        async with self._submitter.audited(command):
            command = self._checked(command, to)
            try:
                counts = counted or await self._counts(command)
            except QueueNotFound:
                if once is None:
                    raise
                counts = JobCounts({})  # it may have been begun while the queue was there
            total = sum(counts.counts.values())
            caller = caller_here(self._submitter.keyring)
            key = "" if caller is None else caller.key.id
            command = replace(command, total=total, at_least=bool(counts.at_least), key=key)
        return await self._submitter.manage(command)

    async def preview(
        self, do: Do, wanted: JobFilter, to: str | None = None, per_s: float | None = None, limit: int | None = None
    ) -> JobCounts:
        """How many jobs it would be about, by state. Nothing is done."""
        return await self._counts(self._checked(StartOperation(do, wanted, (), to or "", per_s, limit), to))

    async def pause(self, number: int, paused: bool) -> OperationAnswer:
        """Stop one, or let it go on."""
        return await self._steer(PauseOperation(_id(number), paused))

    async def cancel(self, number: int) -> OperationAnswer:
        """End one where it is."""
        return await self._steer(CancelOperation(_id(number)))

    async def set_rate(self, number: int, per_s: float | None) -> OperationAnswer:
        """Give one another pace."""
        command = SetOperationRate(_id(number), per_s)
        async with self._submitter.audited(command):
            _check_pace(per_s)
        return await self._steer(command)

    async def _steer(self, command: Managed[OperationAnswer]) -> OperationAnswer:
        answer = await self._submitter.manage(command)
        caller = caller_here(self._submitter.keyring)
        return answer if caller is None or caller.key.sees_payloads else replace(answer, operation=hidden(answer.operation))

    def _checked(self, command: StartOperation, to: str | None) -> StartOperation:
        """The command with the states of the jobs that are meant."""
        if to is not None:
            checks.queue_name("to", to)
        _check(command)
        wanted = replace(command.filter, jobs=tuple(dict.fromkeys(command.filter.jobs)))
        return replace(command, filter=wanted, states=command.states or states_of(command.do, wanted))

    async def _counts(self, command: StartOperation) -> JobCounts:
        """The jobs that a listing with this filter shows to its caller, by the states that are meant."""
        wanted = command.filter
        permitted = permit(command, CALLER.get()) if self._submitter.keyring.in_force else command
        if wanted.jobs:
            return JobCounts({"": len(wanted.jobs)})
        found, at_least, times = {}, [], []
        for state in command.states:
            query = CountJobs(
                wanted.queue,
                state,
                wanted.type,
                wanted.tag,
                wanted.text,
                wanted.text_up_to,
                wanted.meta,
                wanted.before,
                wanted.error,
                wanted.batch,
                wanted.worker,
                wanted.since,
                wanted.field,
                wanted.cancelled_by,
            )
            counts = await self._reading.counts_within(query, permitted.scope)
            found[state.value] = counts.counts.get(state.value, 0)
            at_least += counts.at_least
            times.append(counts.now)
        return JobCounts(found, at_least, min(times))


def states_of(do: Do, wanted: JobFilter) -> tuple[State, ...]:
    """The states of the jobs that are meant; raises `InvalidRequest` if there are none."""
    if wanted.jobs:
        return STATES[do]
    if wanted.state is None:
        if not USUAL[do]:
            raise breach("filter.state", f"must be given: one of {', '.join(STATES[do])}")
        return USUAL[do]
    if wanted.state not in STATES[do]:
        raise breach("filter.state", f"must be one of {', '.join(STATES[do])} to {do.value}")
    return (wanted.state,)


def _check(command: StartOperation) -> None:
    _check_pace(command.per_s)
    checks.number("limit", command.limit, 1, limits.OPERATION_LIMIT_MAX)
    wanted = command.filter
    _check_filter(wanted)
    if command.do is Do.MOVE:
        if not command.to:
            raise breach("to", "must name the queue to move to")
        if command.to == wanted.queue:
            raise breach("to", "must be another queue than theirs")
    elif command.to:
        raise breach("to", "can only be given to move")


def _check_filter(wanted: JobFilter) -> None:
    if len(wanted.jobs) > limits.OPERATION_JOBS:
        raise breach("jobs", f"must have at most {limits.OPERATION_JOBS} entries")
    for place, job in enumerate(wanted.jobs):
        checks.number(f"jobs[{place}]", job, 1, limits.ID_MAX)
    if wanted.queue is not None:
        checks.name_of_queue("filter.queue", wanted.queue)
    checks.text("filter.type", wanted.type, limits.TYPE_CHARS)
    checks.text("filter.tag", wanted.tag, limits.TAG_CHARS)
    checks.text("filter.text", wanted.text, limits.LIST_TEXT_CHARS)
    checks.text("filter.error", wanted.error, limits.LIST_TEXT_CHARS)
    checks.meta("filter.meta", wanted.meta)
    checks.fields("filter.field", wanted.field)
    checks.text("filter.worker", wanted.worker, limits.WORKER_CHARS)
    checks.number("filter.batch", wanted.batch, 1, limits.ID_MAX)
    checks.number("filter.cancelled_by", wanted.cancelled_by, 1, limits.ID_MAX)


def _check_pace(per_s: float | None) -> None:
    if per_s is not None and not limits.OPERATION_PER_S_MIN <= per_s <= limits.OPERATION_PER_S_MAX:
        raise breach("per_s", f"must be from {limits.OPERATION_PER_S_MIN:g} to {limits.OPERATION_PER_S_MAX}")


def _id(number: int) -> int:
    return min(max(number, 0), limits.ID_MAX)
