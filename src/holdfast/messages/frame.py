"""Requests and answers between a front and the store's side, as frozen values; each request is typed by its answer.

These types are the frames on the keeper's socket. `array_like` keeps a frame small: field order is the wire format, and both
ends always have the same version, because the server starts its own keeper. Times and durations are in milliseconds.
"""

import enum
from typing import Any, ClassVar, Generic, TypeVar, final

import msgspec

from holdfast.auth.scope import Scope


class Frame(msgspec.Struct, frozen=True, array_like=True, tag_field="frame"):
    """A value that crosses."""


class Answer(Frame, frozen=True):
    """What a request is answered with."""


A = TypeVar("A", bound=Answer, covariant=True)  # noqa: PLC0105  (one letter is read more often than its variance)


class Request(Frame, Generic[A], frozen=True, kw_only=True):
    """A command or a query that is answered with an `A`, or refused. What is outside its `scope` does not exist for the caller;
    None: no bounds.
    """

    scope: Scope | None = None


class Phase(enum.IntEnum):
    """When a command is decided within its batch: all of one phase before those of the next, each in the order of arrival."""

    TIME = 0  # what happens because time passes
    END = 1  # the ends of leases, and their extensions
    MANAGE = 2
    ENQUEUE = 3
    LEASE = 4


class Command(Request[A], Generic[A], frozen=True):
    """It changes something and goes through the committer."""

    phase: ClassVar[Phase] = Phase.MANAGE


class Query(Request[A], Generic[A], frozen=True):
    """It only reads: it never waits for a commit and never delays one."""


@final
class Refused(Answer, frozen=True, tag=108):
    """An error of `errors.py` on its way over the socket; nothing was changed (with `outcome_unknown`: that is not known)."""

    code: str
    detail: str
    fields: dict[str, Any] = {}


def phase_of(command: Command[Any]) -> Phase:
    """When it is decided within its commit."""
    return command.phase


def kinds_of(base: type[Frame]) -> tuple[type[Frame], ...]:
    """Every type below this one that is sent by itself: those with a tag of their own."""
    found = []
    for kind in base.__subclasses__():
        if isinstance(kind.__struct_config__.tag, int):
            found.append(kind)
        found += kinds_of(kind)
    return tuple(found)
