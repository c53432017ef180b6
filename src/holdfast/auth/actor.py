"""Who does something, for the audit log: the name of the key or user, the address, and the door.

A door sets the actor once for each request, in a context variable; all code that serves the request reads it, also in tasks
that it starts. A door that keeps connections puts the actor into each command instead, because its callbacks run in other
contexts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec


class Actor(msgspec.Struct, frozen=True, array_like=True):
    """`name` of a key or a user, "" if none is needed; `address` of the peer, without its port; `door`, such as `http` or
    `web`. `trace` is the id of the trace in which the request is recorded, for the line in the log: it is not kept.
    """

    name: str = ""
    address: str = ""
    door: str = ""
    trace: str = ""


NOBODY = Actor()
ACTOR: ContextVar[Actor] = ContextVar("actor", default=NOBODY)


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """Within this context, commands are recorded as this actor's."""
    token = ACTOR.set(actor)
    try:
        yield
    finally:
        ACTOR.reset(token)
