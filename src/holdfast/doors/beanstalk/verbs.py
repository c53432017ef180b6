"""Which function runs a verb, and which verbs may be in progress together: the table that `connection.py` uses."""

from typing import TYPE_CHECKING

from holdfast.doors.beanstalk import inspect, lease_verbs, put, reserve, tubes
from holdfast.doors.beanstalk.coalesce import Action, Coalesced
from holdfast.doors.beanstalk.grammar import Asked

if TYPE_CHECKING:
    from holdfast.doors.beanstalk.connection import Connection

SAID, ENDS, MANAGES, PUTS, LEASES, ALONE = range(6)
"""When a command is decided within a commit; SAID needs none, ALONE waits for all before it and holds up all behind it."""

_PHASES = {
    "auth": SAID, "say": SAID, "put-refused": SAID, "use": SAID, "watch": SAID, "ignore": SAID, "list-tube-used": SAID, "list-tubes-watched": SAID,
    "release": ENDS, "bury": ENDS, "touch": ENDS,
    "put": PUTS,
    "reserve": LEASES, "reserve-with-timeout": LEASES,
}  # fmt: skip

ACTIONS: dict[str, Action] = {
    "auth": tubes.auth,
    "say": lambda connection, asked: connection.say(asked[1]),
    "put": put.put,
    "put-refused": put.put_refused,
    "reserve": reserve.reserve,
    "reserve-with-timeout": reserve.reserve,
    "delete": lease_verbs.delete,
    "release": lease_verbs.release,
    "bury": lease_verbs.bury,
    "touch": lease_verbs.touch,
    "use": tubes.use,
    "watch": tubes.watch,
    "ignore": tubes.ignore,
    "list-tube-used": tubes.list_used,
    "list-tubes-watched": tubes.list_watched,
    "quit": tubes.leave,
    "foreign": tubes.foreign,
    **inspect.ACTIONS,
}


def phase_of(connection: "Connection", asked: Asked) -> int:
    """When a command is decided. A delete ends a lease or removes a job; near the end of a lease that is not known, and it goes
    alone.
    """
    if asked[0] == "delete":
        held = connection.held.get(asked[1])
        if held is None:
            return MANAGES
        return ENDS if connection.held.is_safe(asked[1]) else ALONE
    return _PHASES.get(asked[0], ALONE)


def joins(connection: "Connection", asked: Asked) -> bool:
    """Whether a command can be sent together with those collected."""
    coalesced = connection.coalesced
    if asked[0] == "put":
        return bool(coalesced.jobs)
    return coalesced.reserves > 0 and reserve.timeout_of(asked) == coalesced.timeout


def send_gathered(connection: "Connection") -> None:
    """Send what was gathered to the store."""
    coalesced = connection.coalesced
    if coalesced.jobs:
        put.send(connection)
    elif coalesced.reserves:
        reserve.send(connection)


__all__ = ["ACTIONS", "ALONE", "SAID", "Coalesced", "joins", "phase_of", "send_gathered"]
