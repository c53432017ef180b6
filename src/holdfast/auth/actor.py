"""Who does something, for the audit log: in whose name, from which address and by which door.

A door says it once for a request, in the context in which the request is served; what is called from there, also in tasks that it starts, finds
it. A door that keeps connections, whose callbacks run in the context of whoever wakes them, gives the actor to the command itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec


class Actor(msgspec.Struct, frozen=True, array_like=True):
    """`name` of a key or a user, "" where nobody had to say; `address` of the peer, without its port; `door`, such as `http` or `web`."""

    name: str = ""
    address: str = ""
    door: str = ""


NOBODY = Actor()
ACTOR: ContextVar[Actor] = ContextVar("actor", default=NOBODY)


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """All that is done in here is done by this actor."""
    token = ACTOR.set(actor)
    try:
        yield
    finally:
        ACTOR.reset(token)
