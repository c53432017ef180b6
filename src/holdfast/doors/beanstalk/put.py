"""put: jobs that arrive together are one command, and each gets its own reply."""

from functools import lru_cache, partial
from typing import TYPE_CHECKING

from holdfast.auth.keys import Ability
from holdfast.doors.beanstalk.grammar import Asked
from holdfast.doors.beanstalk.names import queue_of
from holdfast.doors.beanstalk.replies import DRAINING, not_put
from holdfast.job.job import BeanstalkCounters, Extras, NewJob
from holdfast.limits import BULK_JOBS, TUBE_UNANSWERED_BYTES
from holdfast.messages.answers import PutIds
from holdfast.messages.beanstalk_commands import PutJobs
from holdfast.messages.frame import Refused

if TYPE_CHECKING:
    from holdfast.doors.beanstalk.connection import Connection, Slot

CONTENT_TYPE = "application/octet-stream"
_WEIGHT = 256  # the cost of a job in progress besides its body


@lru_cache(maxsize=4_096)
def extras_of(ttr: int, delay: int) -> Extras:
    """Time to run and delay, in seconds, as a job stores them; beanstalkd makes a time to run of 0 one second.

    Both go up to 2^32 - 1 there, some 136 years, and so here: the bounds of the other doors do not apply.
    """
    return Extras(lease_ms=max(ttr, 1) * 1000, beanstalk=BeanstalkCounters(delay_s=delay) if delay else None)


def put(connection: "Connection", asked: Asked) -> None:
    """A job with its body."""
    _, pri, delay, ttr, body = asked
    connection.door.numbers.commands["put"] += 1
    connection.door.plays(connection, "producer")
    if connection.engine.draining or connection.door.closed_to_puts:
        connection.say(DRAINING)
        return
    queue = queue_of(connection.used)
    if (refused := connection.refusal(Ability.PRODUCE, queue)) is not None:
        connection.say(refused)
        return
    coalesced = connection.coalesced
    delay_ms = delay * 1000 or None
    coalesced.jobs.append(NewJob(queue, body, "", CONTENT_TYPE, pri, delay_ms, extras=extras_of(ttr, delay)))
    coalesced.weight += len(body) + _WEIGHT
    if len(coalesced.jobs) >= BULK_JOBS or coalesced.weight >= TUBE_UNANSWERED_BYTES:
        send(connection)


def put_refused(connection: "Connection", asked: Asked) -> None:
    """A put that is refused; its body, if it has one, was read and discarded."""
    connection.door.numbers.commands["put"] += 1
    connection.say(asked[1])


def send(connection: "Connection") -> None:
    """Send the gathered jobs."""
    coalesced = connection.coalesced
    jobs, weight = coalesced.jobs, coalesced.weight
    coalesced.jobs, coalesced.weight = [], 0
    slot = connection.open(len(jobs), weight)
    connection.engine.submit_nowait(PutJobs(jobs), weight, partial(_answer, connection, slot))


def _answer(connection: "Connection", slot: "Slot", result: PutIds | Refused) -> None:
    if isinstance(result, Refused):
        connection.answer(slot, not_put(result.code) * slot.commands)
        return
    word = not_put(result.refused) if result.refused else b""
    connection.answer(slot, *[b"INSERTED %d\r\n" % job_id if job_id else word for job_id in result.ids])
