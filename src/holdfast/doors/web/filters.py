"""Which jobs are selected: a filter as in a URL, the same for the list, its counts and bulk actions."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from holdfast import limits, units
from holdfast.doors.rest import bodies
from holdfast.doors.web import formats
from holdfast.doors.web.forms import whole
from holdfast.engine import checks
from holdfast.errors import breach
from holdfast.job.job import State
from holdfast.job.meta import Meta
from holdfast.job.operation import JobFilter
from holdfast.messages.queries import CountJobs, ListJobs

TEXT_UP_TO = 64 << 10  # bytes: larger payloads are not searched, so that a scan of many jobs is short
_PAIRS = ("meta", "field")  # filters of names and values
PAYLOAD_UP_TO = 4 << 10  # bytes: larger payloads have no excerpt in the list


def pairs_of(name: str, text: str) -> Meta:
    """Names and values as they are typed: `NAME=VALUE`, one a line."""
    pairs: dict[str, str] = {}
    for typed in text.splitlines():
        if typed.strip():
            key, equals, value = typed.partition("=")
            if not equals or not key.strip():
                raise breach(name, "must be written as NAME=VALUE")
            if key.strip() in pairs:
                raise breach(name, f"has the name {key.strip()} twice")
            pairs[key.strip()] = value.strip()
    return tuple(pairs.items())


def shown_pairs(pairs: Meta) -> str:
    """The same as text."""
    return "\n".join(f"{name}={value}" for name, value in pairs)


def moment_of(name: str, text: str) -> int | None:
    """A moment in milliseconds, as it is typed: RFC 3339, or how long ago, such as `1h`. In an address it stands as the moment, so that a list that
    is shared, and an action on it, are about the same jobs later on.
    """
    if not text:
        return None
    try:
        return max(0, round(time.time() * 1_000) - units.duration_ms(text))
    except ValueError:
        return bodies.moment(name, text)


def _number(name: str, text: str | None) -> int | None:
    if not text:
        return None
    number = whole(name, text)
    if not 0 < number <= limits.ID_MAX:
        raise breach(name, f"must be the number of {'a batch' if name == 'batch' else 'an operation'}")
    return number


@dataclass(frozen=True)
class Filter:
    """All that a listing can be narrowed by; None is any."""

    queue: str | None = None
    state: State | None = None
    type: str | None = None
    tag: str | None = None
    text: str | None = None
    meta: Meta = ()
    error: str | None = None
    before: int | None = None
    batch: int | None = None
    worker: str | None = None
    since: int | None = None
    field: Meta = ()
    cancelled_by: int | None = None

    @classmethod
    def of(cls, given: Mapping[str, str]) -> "Filter":
        """A filter out of an address or a form."""
        state = given.get("state") or None
        if state is not None and state not in set(State):
            raise breach("state", f"must be one of {', '.join(one.value for one in State)}")
        queue = given.get("queue") or None
        if queue is not None:
            checks.name_of_queue("queue", queue)
        text = given.get("text") or None
        checks.text("text", text, 1_000)
        error = given.get("error") or None
        checks.text("error", error, 1_000)
        worker = given.get("worker") or None
        checks.text("worker", worker, limits.WORKER_CHARS)
        return cls(
            queue,
            State(state) if state else None,
            given.get("type") or None,
            given.get("tag") or None,
            text,
            pairs_of("meta", given.get("meta", "")),
            error,
            moment_of("before", given.get("before", "").strip()),
            _number("batch", given.get("batch")),
            worker,
            moment_of("since", given.get("since", "").strip()),
            pairs_of("field", given.get("field", "")),
            _number("cancelled_by", given.get("cancelled_by")),
        )

    def query(self) -> dict[str, str]:
        """As in a URL."""
        state = self.state.value if self.state is not None else None
        given = {
            "queue": self.queue,
            "state": state,
            "type": self.type,
            "tag": self.tag,
            "text": self.text,
            "meta": shown_pairs(self.meta),
            "error": self.error,
            "before": None if self.before is None else formats.iso(self.before),
            "batch": None if self.batch is None else str(self.batch),
            "worker": self.worker,
            "since": None if self.since is None else formats.iso(self.since),
            "field": shown_pairs(self.field),
            "cancelled_by": None if self.cancelled_by is None else str(self.cancelled_by),
        }
        return {name: value for name, value in given.items() if value}

    def asked(self) -> dict[str, str]:
        """As the API is asked."""
        asked = {name: value for name, value in self.query().items() if name not in _PAIRS}
        return asked | {f"{name}.{key}": value for name in _PAIRS for key, value in getattr(self, name)}

    def listing(
        self, limit: int, cursor: Any = None, state: State | None = None, payload_up_to: int = 0, *, reverse: bool = False
    ) -> ListJobs:
        """The question for a page of them."""
        given = self._named() | {"state": state or self.state}
        return ListJobs(limit, cursor=cursor, payload_up_to=payload_up_to, reverse=reverse, last_error=True, **given)

    def counting(self, state: State | None = None) -> CountJobs:
        """The question how many they are."""
        return CountJobs(**self._named() | {"state": state})

    def body(self) -> dict[str, object]:
        """As the API takes it in a body."""
        given: dict[str, object] = {name: value for name, value in self.query().items() if name not in _PAIRS}
        given |= {name: dict(pairs) for name in _PAIRS if (pairs := getattr(self, name))}
        return given | {name: number for name in ("batch", "cancelled_by") if (number := getattr(self, name)) is not None}

    def jobs(self) -> JobFilter:
        """The same for an operation."""
        return JobFilter(**self._named())

    def _named(self) -> dict[str, Any]:
        """As all that ask a store name it."""
        return {name: getattr(self, name) for name in NAMES} | {"text_up_to": TEXT_UP_TO}

    def words(self) -> list[tuple[str, str]]:
        """A description for people."""
        return list(self.query().items())


NAMES = tuple(field.name for field in fields(Filter))
LIMITS = (25, 50, 100, 200)
assert LIMITS[-1] <= limits.LIST_LIMIT
