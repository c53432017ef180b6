"""Which jobs are selected: a filter as in a URL, the same for the list, its counts and bulk actions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from holdfast import limits
from holdfast.engine import checks
from holdfast.errors import breach
from holdfast.job.job import State
from holdfast.job.meta import Meta
from holdfast.job.operation import JobFilter
from holdfast.messages.queries import CountJobs, ListJobs

TEXT_UP_TO = 64 << 10  # bytes: larger payloads are not searched, so that a scan of many jobs is short
PAYLOAD_UP_TO = 4 << 10  # bytes: larger payloads have no excerpt in the list


def meta_of(text: str) -> Meta:
    """Names and values as they are typed: `NAME=VALUE`, one a line."""
    pairs: dict[str, str] = {}
    for typed in text.splitlines():
        if typed.strip():
            name, equals, value = typed.partition("=")
            if not equals or not name.strip():
                raise breach("meta", "must be written as NAME=VALUE")
            if name.strip() in pairs:
                raise breach("meta", f"has the name {name.strip()} twice")
            pairs[name.strip()] = value.strip()
    return tuple(pairs.items())


def shown_meta(meta: Meta) -> str:
    """The same as text."""
    return "\n".join(f"{name}={value}" for name, value in meta)


@dataclass(frozen=True)
class Filter:
    """All that a listing can be narrowed by; None is any."""

    queue: str | None = None
    state: State | None = None
    type: str | None = None
    tag: str | None = None
    text: str | None = None
    meta: Meta = ()

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
        return cls(
            queue,
            State(state) if state else None,
            given.get("type") or None,
            given.get("tag") or None,
            text,
            meta_of(given.get("meta", "")),
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
            "meta": shown_meta(self.meta),
        }
        return {name: value for name, value in given.items() if value}

    def asked(self) -> dict[str, str]:
        """As the API is asked."""
        return {name: value for name, value in self.query().items() if name != "meta"} | {
            f"meta.{name}": value for name, value in self.meta
        }

    def listing(self, limit: int, cursor: Any = None, state: State | None = None, payload_up_to: int = 0) -> ListJobs:
        """The question for a page of them."""
        return ListJobs(
            limit, self.queue, state or self.state, self.type, self.tag, self.text, cursor, payload_up_to, TEXT_UP_TO, self.meta
        )

    def counting(self, state: State | None = None) -> CountJobs:
        """The question how many they are."""
        return CountJobs(self.queue, state, self.type, self.tag, self.text, TEXT_UP_TO, self.meta)

    def jobs(self) -> JobFilter:
        """The same for an operation."""
        return JobFilter(self.queue, self.state, self.type, self.tag, self.text, self.meta, text_up_to=TEXT_UP_TO)

    @property
    def searches(self) -> bool:
        """Whether rows have to be checked one by one."""
        return self.type is not None or self.tag is not None or self.text is not None or bool(self.meta)

    def words(self) -> list[tuple[str, str]]:
        """A description for people."""
        return list(self.query().items())


LIMITS = (25, 50, 100, 200)
assert LIMITS[-1] <= limits.LIST_LIMIT
