"""delete, release, bury and touch: each one command, submitted without waiting.

A delete of a job that this connection has reserved concludes it; any other job it removes, unless another connection has it.
The rest are for the holder only. If the lease has expired meanwhile the job is no longer this connection's, so its delete is
retried as that of any other job.
"""

from functools import partial
from typing import TYPE_CHECKING

from holdfast.doors.beanstalk import replies
from holdfast.doors.beanstalk.grammar import Asked
from holdfast.doors.beanstalk.held import Holding
from holdfast.errors import LeaseLost
from holdfast.limits import ID_MAX
from holdfast.messages.answers import Changed, Extended, Outcome
from holdfast.messages.beanstalk_commands import BuryLease
from holdfast.messages.commands import ConcludeLease, DeleteJob, ExtendLease, ReleaseLease
from holdfast.messages.frame import Refused

if TYPE_CHECKING:
    from holdfast.doors.beanstalk.connection import Connection, Slot


def delete(connection: "Connection", asked: Asked) -> None:
    """The work is done, or not needed."""
    _, job_id = asked
    connection.door.numbers.commands["delete"] += 1
    if job_id > ID_MAX:
        connection.say(replies.NOT_FOUND)
        return
    holding = connection.held.pop(job_id)
    slot = connection.open()
    if holding is None:
        _remove(connection, slot, job_id)
    else:
        connection.engine.submit_nowait(ConcludeLease(holding.ref), 0, partial(_concluded, connection, slot, job_id, holding))


def _concluded(connection: "Connection", slot: "Slot", job_id: int, holding: Holding, result: Outcome | Refused) -> None:
    if isinstance(result, Refused) and result.code == LeaseLost.code:
        connection.engine.give_back([holding.ref])  # it may be there, in a queue that the key does not see any more
        _remove(connection, slot, job_id)
    else:
        _ended(connection, slot, job_id, holding, replies.DELETED, result)


def _remove(connection: "Connection", slot: "Slot", job_id: int) -> None:
    command = DeleteJob(job_id, unless_history=True, actor=connection.actor)
    connection.engine.submit_nowait(command, 0, partial(_removed, connection, slot))


def _removed(connection: "Connection", slot: "Slot", result: Changed | Refused) -> None:
    connection.answer(slot, replies.of_error(result.code) if isinstance(result, Refused) else replies.DELETED)


def release(connection: "Connection", asked: Asked) -> None:
    """Hand a job back, perhaps for later."""
    _, job_id, pri, delay = asked
    connection.door.numbers.commands["release"] += 1
    holding = connection.held.pop(job_id)
    if holding is None:
        connection.say(replies.NOT_FOUND)
        return
    command = ReleaseLease(holding.ref, delay * 1000, pri, counted=True)
    slot = connection.open()
    connection.engine.submit_nowait(command, 0, partial(_ended, connection, slot, job_id, holding, replies.RELEASED))


def bury(connection: "Connection", asked: Asked) -> None:
    """Bury a job."""
    _, job_id, pri = asked
    connection.door.numbers.commands["bury"] += 1
    holding = connection.held.pop(job_id)
    if holding is None:
        connection.say(replies.NOT_FOUND)
        return
    slot = connection.open()
    then = partial(_ended, connection, slot, job_id, holding, replies.BURIED)
    connection.engine.submit_nowait(BuryLease(holding.ref, pri), 0, then)


def _ended(
    connection: "Connection", slot: "Slot", job_id: int, holding: Holding, word: bytes, result: Outcome | Refused
) -> None:
    if isinstance(result, Refused):
        if result.code == LeaseLost.code or connection.gone:
            connection.engine.give_back([holding.ref])
        else:
            connection.held.put_back(job_id, holding)
        word = replies.of_error(result.code)
    connection.answer(slot, word)


def touch(connection: "Connection", asked: Asked) -> None:
    """Ask for the job's whole time to run again."""
    connection.door.numbers.commands["touch"] += 1
    holding = connection.held.get(asked[1])
    if holding is None:
        connection.say(replies.NOT_FOUND)
        return
    slot = connection.open()
    connection.engine.submit_nowait(ExtendLease(holding.ref), 0, partial(_touched, connection, slot, holding))


def _touched(connection: "Connection", slot: "Slot", holding: Holding, result: Extended | Refused) -> None:
    if isinstance(result, Extended):
        holding.until = connection.loop.time() + result.ms_left / 1000
        connection.answer(slot, replies.TOUCHED)
        return
    connection.answer(slot, replies.of_error(result.code))
