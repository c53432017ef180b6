"""The verbs that go alone: peek, kick, reserve-job, pause-tube and the pages of numbers. Each reads or changes what those before it have left."""

from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any

from holdfast.auth.caller import Caller
from holdfast.doors.beanstalk import numbers, pages, replies
from holdfast.doors.beanstalk.coalesce import Action
from holdfast.doors.beanstalk.grammar import Asked
from holdfast.doors.beanstalk.names import DEFAULT, queue_of
from holdfast.doors.beanstalk.tubes import listed
from holdfast.errors import QueueNotFound
from holdfast.job.job import HISTORY, State
from holdfast.limits import ID_MAX, LIST_LIMIT, TUBE_RESERVED
from holdfast.messages.queries import ListJobs
from holdfast.messages.views import JobDetail, JobPage, QueueInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.doors.beanstalk.connection import Connection
    from holdfast.doors.beanstalk.door import Beanstalk


async def peek(connection: "Connection", asked: Asked) -> bytes:
    """A job by its id, whoever has it."""
    detail = await _job(connection, asked[1])
    return replies.NOT_FOUND if detail is None else _found(detail)


async def peek_ready(connection: "Connection", _: Asked) -> bytes:
    """The next ready job of the used tube."""
    return await _first(connection, State.READY)


async def peek_delayed(connection: "Connection", _: Asked) -> bytes:
    """The delayed job of the used tube that is due first."""
    return await _first(connection, State.SCHEDULED)


async def peek_buried(connection: "Connection", _: Asked) -> bytes:
    """The job of the used tube that was buried first."""
    return _of_page(await connection.engine.reading.oldest_dead(queue_of(connection.used)))


async def _first(connection: "Connection", state: State) -> bytes:
    query = ListJobs(1, queue=queue_of(connection.used), state=state)
    try:
        return _of_page(await connection.engine.reading.jobs(query))
    except QueueNotFound:
        return replies.NOT_FOUND


def _of_page(page: JobPage) -> bytes:
    if not page.jobs:
        return replies.NOT_FOUND
    return _found(page.jobs[0])


def _found(detail: JobDetail) -> bytes:
    if detail.payload_hidden:
        return replies.FORBIDDEN
    return replies.found(detail.job.id, detail.content.payload)


async def _job(connection: "Connection", job_id: int) -> JobDetail | None:
    """A job that has not ended: to a client of beanstalkd, concluded and cancelled ones do not exist."""
    if not 0 < job_id <= ID_MAX:
        return None
    detail = await connection.engine.reading.job(job_id)
    return None if detail.job.state in HISTORY else detail


async def reserve_job(connection: "Connection", asked: Asked) -> bytes:
    """A job by its id, be it ready, delayed or buried."""
    if not 0 < asked[1] <= ID_MAX:
        return replies.NOT_FOUND
    if len(connection.held) >= TUBE_RESERVED:
        return replies.OUT_OF_MEMORY
    granted = await connection.engine.reserve_job(asked[1], connection.worker)
    connection.door.plays(connection, "worker")
    if connection.gone:
        connection.engine.give_back(granted.returnable())
    else:
        connection.held.take(granted.jobs[0], granted.now)
    return replies.reserved(granted.jobs[0])


async def kick(connection: "Connection", asked: Asked) -> bytes:
    """Buried jobs of the used tube, or delayed ones where none is buried."""
    return b"KICKED %d\r\n" % await connection.engine.kick(queue_of(connection.used), asked[1])


async def kick_job(connection: "Connection", asked: Asked) -> bytes:
    """One buried or delayed job of any tube."""
    if not 0 < asked[1] <= ID_MAX:
        return replies.NOT_FOUND
    await connection.engine.kick_job(asked[1])
    return replies.KICKED


async def pause_tube(connection: "Connection", asked: Asked) -> bytes:
    """Pause a tube for this many seconds."""
    _, tube, seconds = asked
    await connection.engine.pause_for(queue_of(tube), seconds * 1000, if_it_holds=not _is_used(connection, tube))
    connection.door.paused(tube, seconds)
    return replies.PAUSED


def _is_used(connection: "Connection", tube: str) -> bool:
    """Whether a tube exists, even if empty, for a client that may see it."""
    return (tube == DEFAULT or tube in connection.door.numbers.tubes()) and connection.sees(queue_of(tube))


async def list_tubes(connection: "Connection", _: Asked) -> bytes:
    """Every tube."""
    return await connection.door.of_all.of(("list-tubes", connection.caller))


async def stats(connection: "Connection", _: Asked) -> bytes:
    """The server's statistics."""
    return await connection.door.of_all.of(("stats", connection.caller))


async def of_all(door: "Beanstalk", asked: tuple[str, Caller | None]) -> bytes:
    """The answer to a command that lists all tubes; shared by the clients of one key that ask before the read has begun."""
    verb, caller = asked
    return replies.ok(listed(await tubes_there(door, caller))) if verb == "list-tubes" else await _of_server(door, caller)


def _used(door: "Beanstalk", caller: Caller | None) -> set[str]:
    tubes = door.numbers.tubes()
    return tubes if caller is None or caller.scope is None else {tube for tube in tubes if caller.sees(queue_of(tube))}


async def tubes_there(door: "Beanstalk", caller: Caller | None = None) -> list[str]:
    """The names of all tubes, `default` first."""
    used = _used(door, caller) - {DEFAULT}
    names: list[str] = []
    async for page in _pages(door):
        names += [tube for info in page if (tube := pages.tube(info)) is not None and tube not in used and tube != DEFAULT]
    names += used
    names.sort()  # most of them are in order: they are read by the names of their queues
    return [DEFAULT, *names]


async def _of_server(door: "Beanstalk", caller: Caller | None) -> bytes:
    engine = door.engine
    found = await engine.reading.stats(0)
    tubes = _used(door, caller) | {DEFAULT}
    count, urgent = len(tubes), 0
    async for page in _pages(door):
        count += len({pages.tube(info) for info in page} - tubes - {None})
        if ready := [info.name for info in page if info.tally.ready]:
            urgent += sum((await engine.reading.urgent(ready)).counts.values())
    others = [text for front, text in found.reports.items() if front != door.front]
    return replies.ok(pages.of_server(door, found, door.numbers.with_others(others), urgent, count))


async def _pages(door: "Beanstalk") -> AsyncIterator[list[QueueInfo]]:
    """Every queue, some at a time."""
    after: str | None = ""
    while after is not None:
        page = await door.engine.reading.queues(LIST_LIMIT, after)
        yield page.queues
        after = page.after


async def stats_job(connection: "Connection", asked: Asked) -> bytes:
    """A job's statistics."""
    detail = await _job(connection, asked[1])
    if detail is None:
        return replies.NOT_FOUND
    lease_ms = detail.job.extras.lease_ms or (await connection.engine.reading.queue(detail.job.queue)).policy.lease_ms
    return replies.ok(pages.of_job(detail, lease_ms))


async def stats_tube(connection: "Connection", asked: Asked) -> bytes:
    """A tube's statistics."""
    tube, door = asked[1], connection.door
    try:
        facts = await connection.engine.reading.tube(queue_of(tube))
    except QueueNotFound:
        facts = None
    known = _is_used(connection, tube)
    if not known and (facts is None or not pages.holds(facts.info)):
        return replies.NOT_FOUND
    return replies.ok(pages.of_tube(tube, facts, door.numbers, door.pause_of(tube)))


def _alone(verb: str, doing: "Callable[[Connection, Asked], Coroutine[Any, Any, bytes]]") -> Action:
    def act(connection: "Connection", asked: Asked) -> None:
        connection.door.numbers.commands[verb] += 1
        connection.run_alone(doing, asked)

    return act


ACTIONS: dict[str, Action] = {
    verb: _alone(verb, doing)
    for verb, doing in {
        "peek": peek,
        "peek-ready": peek_ready,
        "peek-delayed": peek_delayed,
        "peek-buried": peek_buried,
        "reserve-job": reserve_job,
        "kick": kick,
        "kick-job": kick_job,
        "pause-tube": pause_tube,
        "list-tubes": list_tubes,
        "stats-job": stats_job,
        "stats-tube": stats_tube,
        "stats": stats,
    }.items()
}
assert set(ACTIONS) < set(numbers.VERBS), "every verb is counted"
