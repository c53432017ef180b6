"""reserve: look at once; if there is nothing and the caller may wait, a task waits for it as a long poll does.

Equal reserves that arrive together are one command. Nothing passes a reserve that may wait. DEADLINE_SOON is the answer to a
connection with a job in its last second, if there is none to give it; also during a wait.
"""

import asyncio
from typing import TYPE_CHECKING

from holdfast.doors.beanstalk import replies
from holdfast.doors.beanstalk.grammar import Asked
from holdfast.doors.beanstalk.held import MARGIN_S
from holdfast.doors.beanstalk.names import queue_of
from holdfast.errors import Draining, HoldfastError
from holdfast.limits import LEASE_JOBS, TUBE_RESERVE_BYTES, TUBE_RESERVED, WAIT_MS_MAX
from holdfast.logs import structlog
from holdfast.messages.answers import Granted
from holdfast.messages.commands import LeaseJobs
from holdfast.messages.frame import Refused

if TYPE_CHECKING:
    from holdfast.doors.beanstalk.connection import Connection, Slot

log = structlog.get_logger(__name__)
FOREVER = -1


def timeout_of(asked: Asked) -> int | None:
    """How long a reserve may wait, in seconds; None for another verb."""
    if asked[0] == "reserve":
        return FOREVER
    return int(asked[1]) if asked[0] == "reserve-with-timeout" else None


def reserve(connection: "Connection", asked: Asked) -> None:
    """The next job of the watched tubes: the lowest priority, then the oldest."""
    connection.door.numbers.commands[asked[0]] += 1
    connection.door.plays(connection, "worker")
    coalesced = connection.coalesced
    if connection.engine.draining:
        connection.say(replies.TIMED_OUT)
        return
    if len(connection.held) + coalesced.reserves >= TUBE_RESERVED:
        send(connection)
        connection.say(replies.OUT_OF_MEMORY)
        return
    coalesced.timeout = timeout_of(asked)
    coalesced.reserves += 1
    if coalesced.reserves >= LEASE_JOBS:
        send(connection)


def send(connection: "Connection") -> None:
    """Send the gathered reserves."""
    coalesced = connection.coalesced
    count, timeout = coalesced.reserves, coalesced.timeout
    coalesced.reserves, coalesced.timeout = 0, None
    if count and timeout is not None:
        connection.alone = timeout != 0
        Reserve(connection, connection.open(count), timeout).look()


class Reserve:
    """Reserves that went together, until the last of them is answered."""

    __slots__ = ("_connection", "_missing", "_queues", "_slot", "_timeout")

    def __init__(self, connection: "Connection", slot: "Slot", timeout: int) -> None:
        self._connection = connection
        self._slot = slot
        self._timeout = timeout
        self._missing = slot.commands
        queues = tuple(queue_of(tube) for tube in connection.watched)
        seen = tuple(
            queue for queue in queues if connection.sees(queue)
        )  # every client watches `default`, which it may not see
        self._queues = seen or queues

    def look(self) -> None:
        """Lease that many jobs at once."""
        command = LeaseJobs(
            self._queues,
            self._missing,
            self._connection.worker,
            by_priority=len(self._queues) > 1,
            most_bytes=TUBE_RESERVE_BYTES,
        )
        self._connection.engine.submit_nowait(command, 0, self._looked)

    def _looked(self, result: Granted | Refused) -> None:
        connection = self._connection
        if isinstance(result, Refused):
            connection.alone = False
            connection.answer(self._slot, replies.of_error(result.code) * self._missing)
            return
        if connection.gone:
            connection.engine.give_back(result.returnable())
            return
        self._give(result)
        if self._missing and result.cut:
            connection.write()
            connection.when_read(self.look)  # the rest follows in pieces
            return
        if self._missing and self._timeout != 0:
            connection.write()
            tubes = tuple(connection.watched)
            connection.door.waits(tubes, True)
            waiting = asyncio.ensure_future(self._wait())
            waiting.add_done_callback(lambda _: self._waited(tubes))
            connection.wait(waiting)
            connection.door.keep(waiting)
            return
        connection.alone = False
        nothing = replies.DEADLINE_SOON if self._missing and connection.held.must_hurry() else replies.TIMED_OUT
        connection.answer(self._slot, nothing * self._missing)

    def _give(self, granted: Granted) -> None:
        for job in granted.jobs:
            self._connection.held.take(job, granted.now)
            self._slot.parts.append(replies.reserved(job))
        self._missing -= len(granted.jobs)

    async def _wait(self) -> None:
        try:
            while self._missing:
                word = await self._wait_for_one()
                if word:
                    self._say(word, 1)
                self._connection.write()
        except HoldfastError as error:
            self._say(replies.of_error(error.code), self._missing)
        except Exception:
            log.exception("a reserve raised")
            self._say(replies.INTERNAL_ERROR, self._missing)

    def _say(self, word: bytes, commands: int) -> None:
        self._slot.parts.append(word * commands)
        self._missing -= commands

    def _waited(self, tubes: tuple[str, ...]) -> None:
        """The task has ended, also one that was cancelled before its first step. If the connection has closed, the engine
        releases what it would have got.
        """
        connection = self._connection
        connection.door.waits(tubes, False)
        connection.waited()
        self._say(replies.TIMED_OUT, self._missing)
        connection.answer(self._slot)

    async def _wait_for_one(self) -> bytes:
        """Wait until there is a job (which is delivered, and nothing left to answer), or another answer."""
        connection, clock = self._connection, self._connection.loop.time
        deadline = clock() + self._timeout if self._timeout > 0 else None
        while True:
            if connection.has_sent_all() or connection.engine.draining:
                return replies.TIMED_OUT
            soonest = connection.held.soonest()
            moments = [at for at in (deadline, None if soonest is None else soonest - MARGIN_S) if at is not None]
            left_s = min(moments, default=clock() + 3_600) - clock()
            wait_ms = max(0, min(WAIT_MS_MAX, int(left_s * 1000) + 1))
            try:
                granted = await connection.engine.lease(
                    self._queues, 1, connection.worker, wait_ms=wait_ms, by_priority=len(self._queues) > 1
                )
            except Draining:
                return replies.TIMED_OUT
            except asyncio.CancelledError:
                if connection.has_sent_all():
                    return replies.TIMED_OUT
                raise
            if granted.jobs:
                self._give(granted)
                return b""
            if connection.held.must_hurry():
                return replies.DEADLINE_SOON
            if deadline is not None and clock() >= deadline:
                return replies.TIMED_OUT
