"""How a task's jobs are run: options by name, refused where they are written, and what they are on the wire.

Durations are a `timedelta` or seconds. A new option of a job is a line in `TaskOptions` and one in `_FIELDS`.
"""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from inspect import isfunction
from typing import Annotated, Any, Literal, TypedDict, get_type_hints

import msgspec
from msgspec import Meta

from holdfast import limits
from holdfast.client import types
from holdfast.client.budgets import Charge
from holdfast.client.worker import outcomes

Duration = timedelta | float
Key = str | Callable[..., object]
UniqueWhile = Literal["unfinished", "queued"]
OnConflict = Literal["refuse", "existing", "replace", "debounce"]
_LONGEST = limits.DELAY_MS_MAX


def milliseconds(name: str, given: Any, least: int = 0, most: int = _LONGEST) -> int:
    """A duration as the wire has it; raises `ValueError` with a sentence."""
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        raise ValueError(f"{name} is a timedelta or a number of seconds, not {given!r}")
    ms = round(seconds * 1_000)
    if not least <= ms <= most:
        raise ValueError(f"{name} is from {least / 1_000:g} to {most // 1_000:,} seconds, not {given!r}")
    return ms


@dataclass(frozen=True, slots=True)
class Retry:
    """The delay before the next attempt: `base × factor^(failures − 1)`, at most `max`, changed at random by up to ± `jitter` of itself."""

    base: Duration = 5
    factor: float = 2.0
    max: Duration = 3_600
    jitter: float = 0.1

    def __post_init__(self) -> None:
        _read("the factor of a Retry", Annotated[float, Meta(ge=1, le=limits.RETRY_FACTOR_MAX)], self.factor)
        _read("the jitter of a Retry", Annotated[float, Meta(ge=0, le=1)], self.jitter)
        self.wire()

    def wire(self) -> types.Retry:
        """As it is sent."""
        base_ms, max_ms = (milliseconds(f"the {name} of a Retry", getattr(self, name)) for name in ("base", "max"))
        return types.Retry(base_ms=base_ms, factor=self.factor, max_ms=max_ms, jitter=self.jitter)


class RetryAfter(outcomes.RetryIn):
    """The attempt failed, and the next one begins after this delay, whatever the retry policy says."""

    def __init__(self, delay: Duration, reason: str = "") -> None:
        super().__init__(milliseconds("the delay", delay), reason)


class Snooze(outcomes.GiveBack):
    """Not now: the job is ready again after this delay, and no attempt is counted."""

    def __init__(self, delay: Duration = 0) -> None:
        super().__init__(milliseconds("the delay", delay))


class TaskOptions(TypedDict, total=False):
    """Options of a task, and of one call. A `unique`, `group` or `fair` that is a function gets those arguments that it names."""

    queue: str
    priority: int
    delay: Duration
    expires: Duration
    max_attempts: int
    retry: Retry
    lease: Duration
    unique: Key
    unique_while: UniqueWhile
    on_conflict: OnConflict
    debounce_max: Duration
    group: Key
    group_limit: int
    tags: Sequence[str]
    fair: Key
    fair_cost: int
    budgets: Sequence[Charge]
    meta: Mapping[str, str]


class DefinedOptions(TaskOptions, total=False):
    """Options of a task alone."""

    name: str
    timeout: Duration


class CallOptions(TaskOptions, total=False):
    """Options of a call alone. `wait`: for room in a full queue."""

    run_at: datetime
    batch: int
    idempotency_key: str
    wait: Duration


def _read(name: str, kind: Any, given: Any) -> Any:
    try:
        return msgspec.convert(given, kind, builtin_types=(datetime,))
    except msgspec.ValidationError as error:
        said = str(error)
        raise ValueError(f"{name}: {said[:1].lower()}{said[1:]}: {given!r}") from None


def queue_name(name: str, given: Any) -> str:
    """The name of a queue; raises `ValueError`."""
    if not isinstance(given, str) or limits.QUEUE_NAME.match(given) is None:
        raise ValueError(
            f"{name}: {given!r} can't be the name of a queue: 1 to {limits.QUEUE_NAME_CHARS} of A-Z a-z 0-9 . _ : -"
        )
    return given


def task_name(given: Any) -> str:
    """The name of a task, the type of its jobs; raises `ValueError`."""
    name: str = _read("the name of a task", _text(limits.TYPE_CHARS), given)
    return name


def _retry(name: str, given: Any) -> types.Retry:
    if not isinstance(given, Retry):
        raise ValueError(f"{name}: {given!r} is no Retry(base=…, factor=…, max=…, jitter=…); for no retries, max_attempts=1")
    return given.wire()


def _text(most: int) -> Any:
    return Annotated[str, Meta(min_length=1, max_length=most)]


def _whole(least: int, most: int) -> Any:
    return Annotated[int, Meta(ge=least, le=most)]


# An option, the field of a job that it becomes, and how it is read: the least and most milliseconds of a duration, a function, or a type.
_FIELDS: dict[str, tuple[str, Any]] = {
    "queue": ("queue", queue_name),
    "priority": ("priority", _whole(0, limits.PRIORITY_MAX)),
    "delay": ("delay_ms", (0, limits.DELAY_MS_MAX)),
    "expires": ("expires_in_ms", (1, limits.EXPIRES_MS_MAX)),
    "batch": ("batch", _whole(1, limits.ID_MAX)),
    "run_at": ("run_at", Annotated[datetime, Meta(tz=True)]),
    "max_attempts": ("max_attempts", _whole(1, limits.ATTEMPTS_MAX)),
    "retry": ("retry", _retry),
    "lease": ("lease_ms", (1, limits.LEASE_MS_MAX)),
    "unique_while": ("unique_while", UniqueWhile),
    "on_conflict": ("on_conflict", OnConflict),
    "debounce_max": ("debounce_max_ms", (1, limits.DELAY_MS_MAX)),
    "group_limit": ("group_limit", _whole(1, limits.GROUP_LIMIT_MAX)),
    "tags": (
        "tags",
        Annotated[list[Annotated[str, Meta(min_length=1, max_length=limits.TAG_CHARS)]], Meta(max_length=limits.TAGS)],
    ),
    "fair_cost": ("fair_cost", _whole(1, limits.FAIR_COST_MAX)),
    "budgets": ("budgets", Annotated[list[Charge], Meta(max_length=limits.BUDGETS_OF_JOB)]),
    "meta": ("meta", dict[str, str]),
}
_OF_THE_CALL: dict[str, tuple[str, Any]] = {  # and of no job
    "idempotency_key": ("idempotency_key", _text(limits.REQUEST_ID_CHARS)),
    "wait": ("wait_ms", (0, limits.WAIT_MS_MAX)),
}
_NEEDS = {"unique_while": "unique", "on_conflict": "unique", "debounce_max": "unique", "group_limit": "group"}


def fields(task: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a job that these options say, but for its keys, which depend on the arguments; raises `ValueError`."""
    for name, needed in _NEEDS.items():
        if name in given and needed not in given:
            raise ValueError(f"{task}: {name} says something about {needed}, which is not given")
    return _fields(task, given, _FIELDS)


def call_fields(task: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is no part of the job, but of the call that enqueues it."""
    return _fields(task, given, _OF_THE_CALL)


def _fields(task: str, given: Mapping[str, Any], table: dict[str, tuple[str, Any]]) -> dict[str, Any]:
    found = {}
    for name in given.keys() & table.keys():
        field, how = table[name]
        about = f"{task}: {name}"
        if isinstance(how, tuple):
            found[field] = milliseconds(about, given[name], *how)
        else:
            found[field] = how(about, given[name]) if isfunction(how) else _read(about, how, given[name])
    return found


def refuse_unknown(task: str, given: Mapping[str, Any], kind: type) -> None:
    """Raise `ValueError` for an option that there is not, with the nearest that there is."""
    known = list(get_type_hints(kind))
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise ValueError(f"{task}: there is no option {name!r}{f'; is {near[0]!r} meant?' if near else ''}")
