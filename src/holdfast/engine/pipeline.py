"""The verbs for doors with persistent connections: submitted without waiting, many at once; a callback gets each answer after
its commit.

A task for each command would cost more than the command. Commands are decided in the order of submission, as far as `batch.py`
keeps it; a door that pipelines commands relies on that.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

from holdfast import limits
from holdfast.budget import Budget
from holdfast.engine.submitter import Submitter, new_run, not_kept
from holdfast.errors import HoldfastError
from holdfast.job.job import LeaseRef
from holdfast.messages.answers import Granted
from holdfast.messages.audit import Bulk, Managed, RecordAudit, refusal_of
from holdfast.messages.backend import Backend, Listener
from holdfast.messages.beanstalk_commands import KickJob, KickJobs, PauseFor, ReserveJob
from holdfast.messages.frame import A, Answer, Command, Refused
from holdfast.messages.owed import Owed
from holdfast.messages.views import QueueInfo


class Pipeline(Submitter):
    """What doors with persistent connections need of the engine beyond the common verbs."""

    def __init__(self, backend: Backend, budget: Budget) -> None:
        super().__init__(backend, budget)
        self._owed = Owed(backend.submit)

    def submit_nowait(self, command: Command[A], weight: int, then: Callable[[A | Refused], None]) -> None:
        """Submit a command whose values are within bounds; `then` gets its answer or its refusal."""
        try:
            permitted = self._permitted(command)
        except HoldfastError as error:
            self._refuse(command, Refused(error.code, error.detail, error.fields), then)
            return
        try:
            future = self._send(permitted, weight)
        except HoldfastError as error:
            then(Refused(error.code, error.detail, error.fields))
            return
        future.add_done_callback(partial(self._posted, weight, then))

    def _refuse(self, command: Command[A], refused: Refused, then: Callable[[A | Refused], None]) -> None:
        """Say no to a command, a managing one once the audit log has its entry."""
        if not isinstance(command, Managed):
            then(refused)
            return

        def told(result: Answer) -> None:
            if isinstance(result, Refused):
                not_kept(entry, result.code)
            then(refused)

        entry = refusal_of(command, refused.code)
        try:
            future = self._send(RecordAudit(entry), 0)
        except HoldfastError as error:
            told(Refused(error.code, error.detail, error.fields))
        else:
            future.add_done_callback(partial(self._posted, 0, told))

    def _posted(self, weight: int, then: Callable[[A | Refused], None], future: "asyncio.Future[A | Refused]") -> None:
        self.release_quota(weight)
        then(future.result())

    def listen(self, listener: Listener) -> None:
        """Call `listener` with what is committed. The futures of the same commit are resolved by then; their callbacks run
        afterwards.
        """
        self._backend.listen(listener)

    def give_back(self, leases: Iterable[LeaseRef]) -> None:
        """Release leases whose holder has disconnected or did not get the answer, without waiting; the attempts do not count.

        For an answer, pass its `returnable()` leases.
        """
        self._owed.give_back(leases)

    def give_back_unused(self, leases: Iterable[tuple[LeaseRef, int]]) -> None:
        """The same for leases, with when they end, that may not have reached their holder: those that it has extended are its own."""
        self._owed.give_back_unused(leases)

    def shorten(self, leases: Iterable[LeaseRef], least_ms: int) -> None:
        """Have these leases end sooner, without waiting: their holder has vanished, and extends them if it comes back."""
        self._owed.shorten(leases, least_ms)

    async def reserve_job(self, job_id: int, worker: str) -> Granted:
        """Lease one job by its id. If the caller has left when the answer comes, the job is released."""
        return await self.ask(ReserveJob(job_id, worker))

    async def kick(self, queue: str, limit: int) -> int:
        """Make up to `limit` jobs of a queue ready: dead ones if there are any, else scheduled ones. In small commits."""
        bulk = new_run()
        return await self._kick(queue, True, limit, bulk) or await self._kick(queue, False, limit, bulk)

    async def _kick(self, queue: str, buried: bool, limit: int, bulk: Bulk) -> int:
        kicked, count, step = 0, 0, 0
        while kicked < limit and count == step:
            step = min(limits.TUBE_KICKED, limit - kicked)
            count = (await self.manage(KickJobs(queue, buried, step, bulk=bulk))).count
            kicked += count
        return kicked

    async def kick_job(self, job_id: int) -> None:
        """Make one dead or scheduled job ready."""
        await self.manage(KickJob(job_id))

    async def pause_for(self, queue: str, pause_ms: int, if_it_holds: bool) -> QueueInfo:
        """Stop leasing from a queue for so long; 0 resumes it. `if_it_holds`: one without jobs is not there."""
        return await self.manage(PauseFor(queue, pause_ms, if_it_holds))
