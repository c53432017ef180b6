"""use, watch, ignore and their like: the connection's own state, answered at once."""

from typing import TYPE_CHECKING

from holdfast.doors.beanstalk import replies
from holdfast.doors.beanstalk.grammar import UNKNOWN_COMMAND, Asked
from holdfast.errors import HoldfastError
from holdfast.limits import QUEUES_PER_LEASE
from holdfast.logs import structlog

if TYPE_CHECKING:
    from holdfast.doors.beanstalk.connection import Connection

log = structlog.get_logger(__name__)


def use(connection: "Connection", asked: Asked) -> None:
    """Put into this tube from now on."""
    _, tube = asked
    numbers = connection.door.numbers
    numbers.commands["use"] += 1
    numbers.using[tube] += 1
    numbers.left(numbers.using, connection.used)
    connection.used = tube
    connection.say(b"USING %b\r\n" % tube.encode())


def watch(connection: "Connection", asked: Asked) -> None:
    """Reserve from this tube too."""
    _, tube = asked
    numbers = connection.door.numbers
    numbers.commands["watch"] += 1
    if tube not in connection.watched:
        if len(connection.watched) >= QUEUES_PER_LEASE:
            connection.say(replies.OUT_OF_MEMORY)
            return
        connection.watched.append(tube)
        numbers.watching[tube] += 1
    connection.say(b"WATCHING %d\r\n" % len(connection.watched))


def ignore(connection: "Connection", asked: Asked) -> None:
    """Reserve from this tube no more; the last one takes the place of the removed one, as in beanstalkd."""
    _, tube = asked
    numbers, watched = connection.door.numbers, connection.watched
    numbers.commands["ignore"] += 1
    if tube in watched:
        if len(watched) < 2:
            connection.say(replies.NOT_IGNORED)
            return
        at = watched.index(tube)
        watched[at] = watched[-1]
        watched.pop()
        numbers.left(numbers.watching, tube)
    connection.say(b"WATCHING %d\r\n" % len(watched))


def list_used(connection: "Connection", _: Asked) -> None:
    """The tube for puts."""
    connection.door.numbers.commands["list-tube-used"] += 1
    connection.say(b"USING %b\r\n" % connection.used.encode())


def list_watched(connection: "Connection", _: Asked) -> None:
    """The tubes that are reserved from."""
    connection.door.numbers.commands["list-tubes-watched"] += 1
    connection.say(replies.ok(listed(connection.watched)))


def listed(names: list[str]) -> str:
    """Names as a list, bare, as in beanstalkd 1.12 and 1.13: clients read the lines, and few of them YAML."""
    return "---\n" + "".join(f"- {name}\n" for name in names)


def auth(connection: "Connection", asked: Asked) -> None:
    """Say who calls."""
    if not connection.engine.keyring.in_force:
        connection.say(UNKNOWN_COMMAND)
        return
    connection.door.numbers.commands["auth"] += 1
    try:
        connection.become(connection.engine.keyring.caller_by_secret(asked[1], connection.address))
    except HoldfastError as error:
        connection.say(replies.of_error(error.code))
        connection.leaving = True
    else:
        connection.say(replies.AUTHENTICATED)


def foreign(connection: "Connection", _: Asked) -> None:
    """The peer uses another protocol: disconnect before its content is taken for commands."""
    log.warning(
        "hung up on a caller who speaks another protocol than beanstalkd's, such as HTTP or TLS", caller=connection.worker
    )
    connection.leaving = True


def leave(connection: "Connection", _: Asked) -> None:
    """Hang up, when all before is answered."""
    connection.door.numbers.commands["quit"] += 1
    connection.leaving = True
