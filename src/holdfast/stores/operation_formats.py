"""The format of an operation on disk; see `formats.py`."""

from typing import Any

import msgspec

from holdfast.auth.actor import NOBODY, Actor
from holdfast.auth.scope import Scope
from holdfast.job.job import State
from holdfast.job.operation import Do, Doing, JobFilter, Operation, Skipped
from holdfast.stores.formats import Kept, Number

_json = msgspec.json.Encoder()


class _Scope(Kept):
    names: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()


class _Actor(Kept):
    name: str = ""
    address: str = ""
    door: str = ""


class _Operation(Kept):
    do: Do
    filter: JobFilter
    states: tuple[State, ...]
    began_at: Number
    to: str = ""
    per_s: float | None = None
    limit: int | None = None
    scope: _Scope | None = None
    key: str = ""
    actor: _Actor | None = None
    total: Number = 0
    at_least: bool = False
    cursor: Number = 0
    done: Number = 0
    skipped: tuple[Skipped, ...] = ()
    waits: str = ""
    waits_why: str = ""
    waited: Number = 0
    next_us: int = 0
    worker: str = ""
    claimed_until: Number = 0
    reason: str = ""


_operation_decoder = msgspec.json.Decoder(_Operation)
_OF_OPERATION = tuple(name for name in _Operation.__struct_fields__ if name not in ("scope", "actor"))


def operation_fields(value: Any) -> _Operation:
    """The column with most of its fields."""
    return _operation_decoder.decode(value)


def operation_of(number: int, state: Any, ended_at: int | None, value: Any) -> Operation:
    """An operation out of its columns."""
    kept = operation_fields(value)
    scope = None if kept.scope is None else Scope(kept.scope.names, kept.scope.prefixes)
    actor = NOBODY if kept.actor is None else Actor(kept.actor.name, kept.actor.address, kept.actor.door)
    fields = {name: getattr(kept, name) for name in _OF_OPERATION}
    return Operation(id=number, state=Doing(state), ended_at=ended_at, scope=scope, actor=actor, **fields)


def operation_text(operation: Operation) -> str:
    """The column for the fields of an operation without a column of their own: not its id, `state` and `ended_at`."""
    own, by = operation.scope, operation.actor
    scope = None if own is None else _Scope(own.names, own.prefixes)
    fields = {name: getattr(operation, name) for name in _OF_OPERATION}
    actor = None if by == NOBODY else _Actor(by.name, by.address, by.door)
    return _json.encode(_Operation(scope=scope, actor=actor, **fields)).decode()
