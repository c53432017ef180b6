"""Taking in, again and again: reads the rows of the inbox, has them decoded as a door decodes them, and submits them to the committer, those of each
queue in one command.

A row that can't be decoded is refused, and so ends as a dead job. One on which the committer itself fails is passed over until the server is started
again, and said in the log: it must not hold up the others.
"""

import asyncio
from collections.abc import Callable, Iterator

from holdfast.errors import HoldfastError, InternalError
from holdfast.job.job import Content, IdempotencyKey, NewJob
from holdfast.logs import structlog
from holdfast.messages.frame import Answer, Command, Refused
from holdfast.messages.inbox import Arrival, InboxReading, InboxRow, TakeIn, TakenIn
from holdfast.stores.inbox import Inbox

log = structlog.get_logger(__name__)
_LEFT_S = 1.0  # before what could not be decided is tried again
_PASSED_OVER = 1_000
_BYTES = "application/octet-stream"


class Intake:
    """What a node does with the inbox of its database. `counts`: jobs by what became of them."""

    def __init__(
        self,
        inbox: Inbox,
        reading: InboxReading,
        submit: Callable[[Command[TakenIn]], "asyncio.Future[TakenIn | Refused]"],
        counts: dict[str, int],
    ) -> None:
        self._inbox = inbox
        self._reading = reading
        self._submit = submit
        self._counts = counts
        self._passed_over: dict[int, str] = {}

    async def work(self) -> bool:
        """Take in the next rows; returns whether there were any. Raises if the inbox can't be read."""
        rows = await self._inbox.arrived(self._passed_over)
        if not rows:
            return False
        commands = list(_commands([self._arrival(row) for row in rows]))
        results: list[Answer] = await asyncio.gather(*[self._submit(command) for command in commands])
        for command, result in zip(commands, results, strict=True):
            if isinstance(result, Refused) and result.code == InternalError.code:
                await self._singly(command)
            else:
                self._note(result)
        return True

    def _arrival(self, row: InboxRow) -> Arrival:
        key = None
        if row.idempotency_key is not None and row.digest is not None:
            key = IdempotencyKey(row.queue, row.idempotency_key, row.digest)
        try:
            return Arrival(row.job, self._reading.new_job(row), key)
        except HoldfastError as error:
            code, detail = error.code, error.detail
        except Exception as error:
            log.exception("a row of the inbox can't be read; its job is dead", job=row.job, queue=row.queue)
            code, detail = InternalError.code, f"It can't be read: {error}."
        is_json = row.content_type is None and Content("", None, row.payload).fault() is None
        kind = None if is_json else row.content_type or _BYTES
        return Arrival(row.job, NewJob(row.queue, row.payload, content_type=kind), key, (code, detail))

    async def _singly(self, command: TakeIn) -> None:
        """The committer failed on one of these: each by itself, and that one is passed over."""
        for one in command.arrivals:
            result = await self._submit(TakeIn([one]))
            if isinstance(result, Refused) and result.code == InternalError.code:
                log.error("a job of the inbox can't be taken in, and is passed over", job=one.job, queue=one.new.queue)
                while len(self._passed_over) >= _PASSED_OVER:
                    del self._passed_over[next(iter(self._passed_over))]
                self._passed_over[one.job] = one.new.queue
            else:
                self._note(result)

    def _note(self, result: Answer) -> None:
        if not isinstance(result, TakenIn):
            self._inbox.look_again(_LEFT_S)
            return
        for name in self._counts:
            self._counts[name] += getattr(result, name)
        if result.left:
            self._inbox.look_again(_LEFT_S)


def _commands(arrivals: list[Arrival]) -> Iterator[TakeIn]:
    queues: dict[str, list[Arrival]] = {}
    for one in arrivals:
        queues.setdefault(one.new.queue, []).append(one)
    for each in queues.values():
        yield TakeIn(each)
