"""What to do after each outcome of a try. No I/O: the two clients share it.

    2xx                                         done
    can't connect                               not done: try again, at the next server
    draining, overloaded, store_unavailable, …  not done: try again after Retry-After
    any other problem document                  certainly not done: raise it
    lost connection, time over, 502, 504,
      outcome_unknown                           unknown: try again if the call may be repeated, else raise OutcomeUnknown

When the deadline has passed while one of the tries had an unknown outcome, `OutcomeUnknown` is raised, never a false "failed".

A deadline that nobody has chosen suits whoever waits for the call: a web request for one that is about one thing, a program that goes
through all it finds for one about many.
"""

import os
import random
import re
import ssl
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NoReturn, Protocol, TypeVar
from urllib.parse import quote, urlencode

import msgspec
import tenacity

from holdfast.client.contents import NAMES, elements, members
from holdfast.client.origin import origin_of
from holdfast.client.refusals import UnexpectedAnswer, Unreachable, problem, refusal
from holdfast.client.tls import causes, distrust
from holdfast.client.types import Job
from holdfast.errors import HoldfastError, InvalidRequest, OutcomeUnknown

DEFAULT_URL = "http://127.0.0.1:4653"
BACKOFF_S = 0.1
BACKOFF_MAX_S = 5.0
DEADLINE_S = 2.0  # for a call about one thing, such as one job
LONG_DEADLINE_S = 60.0  # for one about many: a bulk, a listing, a purge; and for a stream to be opened
ATTEMPT_S = 20.0
_FOR_A_TRY_S = 0.25
_TRIES = 4  # there is time for so many at least, however long a server is away
NOT_NOW = frozenset({"draining", "overloaded", "store_unavailable", "not_replicated", "rate_limited", "unavailable"})
ELSEWHERE = frozenset({"draining", "store_unavailable", "not_replicated"})
UNKNOWN_STATUSES = frozenset({408, 502, 503, 504})

T = TypeVar("T")


def new_key() -> str:
    """An idempotency key that nobody else has. It begins with the time: keys made one after the other are neighbours on the server's disk."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


@cache
def _decoder(kind: Any) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind)


def decode(kind: type[T], body: bytes) -> T:
    """A good answer as its type."""
    try:
        decoded: T = _decoder(kind).decode(body)  # type: ignore[arg-type]  # a type is hashable
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        try:
            return loosely(kind, body)
        except (ValueError, RecursionError):  # of msgspec, too
            raise UnexpectedAnswer(f"An answer of 200 could not be read: {error}: {body[:200]!r}") from error
    return decoded


def loosely(kind: type[T], body: bytes) -> T:
    """An answer with invalid JSON in it, decoded without the contents of jobs, which are put back as bytes. Raises
    `ValueError`.
    """
    fields = members(body)
    contents = {
        name: fields.pop(name) for name in NAMES if f"{name}_json" in getattr(kind, "__struct_fields__", ()) and name in fields
    }
    jobs = [loosely(Job, job) for job in elements(fields.pop("jobs", b"[]"))] if "jobs" in fields else None
    if jobs is not None:
        fields["jobs"] = b"[]"
    whole = b",".join(msgspec.json.encode(name) + b":" + value for name, value in fields.items())
    thing: T = _decoder(kind).decode(b"{" + whole + b"}")  # type: ignore[arg-type]  # a type is hashable
    if jobs is not None:
        thing.jobs = jobs  # type: ignore[attr-defined]
    for name, content in contents.items():
        setattr(thing, f"{name}_json", msgspec.Raw(content))
    return thing


@dataclass(slots=True)
class Answer:
    """The answer: a status, the relevant headers, and the body."""

    status: int
    body: bytes
    request_id: str = ""
    retry_after: str = ""


class NotSent(Exception):
    """The connection could not be made: the server has not seen the request."""


class Lost(Exception):
    """The connection broke, or the time was over, after the request may have been sent."""


class StreamRefused(Exception):
    """A stream was not opened; `answer` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"status {answer.status}")
        self.answer = answer


@dataclass(slots=True)
class Call:
    """One request; `headers` are lines, as they are sent. `repeatable`: doing it twice is as doing it once. `wait_ms` is how long the server may take by intention;
    `deadline_s` how long the call may take beside that where the client has no deadline.
    """

    method: str
    path: str
    body: bytes | None = None
    headers: str = ""
    repeatable: bool = True
    wait_ms: int = 0
    deadline_s: float = DEADLINE_S
    idempotency_key: str | None = None


def path(template: str, *parts: str | int, **query: Any) -> str:
    """A path with its parts and its query parameters escaped; parameters that are None are left out."""
    whole = template.format(*[_segment(str(part)) for part in parts])
    given = {name: _plain(value) for name, value in query.items() if value is not None}
    return f"{whole}?{urlencode(given)}" if given else whole


@lru_cache(maxsize=1_024)
def jobs_path(queue: str) -> str:
    """Where the jobs of a queue are put: a program puts many into few queues."""
    return path("/v1/queues/{}/jobs", queue)


_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_TOKEN = re.compile(r"^/v1/leases/[^/]+/")


def _segment(part: str) -> str:
    """A part of a path. Everything that reads URLs takes `.` and `..` for steps, escaped or not; the server reads them escaped twice.

    An empty one would name its parent: not a queue, but all of them.
    """
    if _PLAIN.fullmatch(part):
        return part
    if not part:
        raise InvalidRequest("A name or a number that is to say what is meant is empty.")
    return "%252E" * len(part) if part in (".", "..") else quote(part, safe="")


def _plain(value: Any) -> Any:
    return ("false", "true")[value] if isinstance(value, bool) else value


class Watch(Protocol):
    """Called after every try, over all calls: whether a server answered."""

    def answered(self) -> None:
        """A server has answered, and may have refused."""
        ...

    def failed(self, error: HoldfastError, why: str) -> None:
        """No answer, or one that asks to retry; another try follows if there is time for it."""
        ...


class Nodes:
    """The base URLs: calls go to one of them until it fails, then to the next."""

    def __init__(self, given: str | Sequence[str] | None) -> None:
        listed = given if given is not None else os.environ.get("HOLDFAST_URL", DEFAULT_URL)
        urls = listed.split(",") if isinstance(listed, str) else list(listed)
        self.urls = [url.strip().rstrip("/") for url in urls if url.strip()]
        for url in self.urls:
            origin_of(url)  # one that can't be asked is refused here, and not by each call
        if not self.urls:
            raise ValueError("no URL of a server is given")
        self.current = self.urls[0]
        self.watch: Watch | None = None

    def leave(self, url: str) -> None:
        """Switch to the next one, unless that has happened meanwhile."""
        if url == self.current:
            self.current = self.urls[(self.urls.index(url) + 1) % len(self.urls)]


class Retry(Exception):
    """This try failed and may be retried, after `pause_s` at least; `final` is raised if there is no time for it."""

    def __init__(self, final: HoldfastError, pause_s: float = 0.0, why: str = "") -> None:
        super().__init__(why or str(final))
        self.final = final
        self.pause_s = pause_s


class RetryState:
    """One call over all its tries."""

    __slots__ = ("_around", "_attempt_s", "_deadline_s", "_nodes", "_until", "call", "repeated")

    def __init__(self, call: Call, nodes: Nodes, deadline_s: float | None, attempt_s: float | None) -> None:
        self.call = call
        self.repeated = False
        self._nodes = nodes
        self._around = sys.exception()  # a caller may ask a second server because a first one failed
        wait_s = call.wait_ms / 1_000
        whole_s = call.deadline_s if deadline_s is None else deadline_s
        self._attempt_s = (min(ATTEMPT_S, whole_s / len(nodes.urls)) if attempt_s is None else attempt_s) + wait_s
        self._deadline_s = whole_s + wait_s
        self._until = time.monotonic() + self._deadline_s

    @property
    def _tried(self) -> str:
        """For how long: less than the deadline where a further try would not have had the time for an answer."""
        return f"Tried for {self._deadline_s - (self._until - time.monotonic()):.1f} s."

    def try_until(self) -> float:
        """When the try that begins now is given up. Where there are several servers, one that is silent leaves time for the others."""
        return min(self._until, time.monotonic() + self._attempt_s)

    def wait(self, state: tenacity.RetryCallState) -> float:
        """How long to wait before the next try: exponential with jitter, and never shorter than the server says."""
        asked = again.pause_s if (again := _again(state)) else 0.0
        full = min(BACKOFF_MAX_S, self._deadline_s / _TRIES, BACKOFF_S * 2.0 ** min(state.attempt_number - 1, 10))
        return max(asked, full * random.uniform(0.5, 1.0))  # noqa: S311  (spreads callers; nobody must not guess it)

    def stop(self, state: tenacity.RetryCallState) -> bool:
        """Whether the next try would be too late: one without time for an answer makes an outcome unknown that is known now."""
        return time.monotonic() + state.upcoming_sleep + min(_FOR_A_TRY_S, self._deadline_s / 8) > self._until

    def not_sent(self, url: str, cause: Exception) -> NoReturn:
        """The server could not be reached."""
        self._distrust(url, distrust(cause, self._around), cause)
        self._nodes.leave(url)
        why = f"{url} can't be reached: {plain(cause, self._around)}"
        final = self._unknown(why) if self.repeated else Unreachable(f"{why}. {self._tried}", url=url)
        raise Retry(final, why=why) from cause

    def lost(self, url: str, cause: Exception | str) -> NoReturn:
        """No answer came, so the outcome is unknown."""
        if isinstance(cause, Exception):
            self._distrust(url, distrust(cause, self._around, connected=True), cause)
            cause = plain(cause, self._around)
        self._nodes.leave(url)
        self._open(self._unknown(f"The answer of {url} was lost: {cause}"))

    def _distrust(self, url: str, why: str | None, cause: Exception) -> None:
        """Without a TLS connection nothing was done; the same server will fail in the same way."""
        if why is None:
            return
        self._nodes.leave(url)
        said = f"{url} can't be asked: {why}"
        error = self._unknown(said) if self.repeated else Unreachable(f"{said}.", url=url)
        if len(self._nodes.urls) == 1:
            raise error from cause
        raise Retry(error, why=said) from cause

    def judge(self, url: str, answer: Answer) -> bytes:
        """The body of a good answer; raises what follows from any other."""
        if 200 <= answer.status < 300:
            if self._nodes.watch is not None:
                self._nodes.watch.answered()
            return answer.body
        said = problem(answer.body)
        if said is None:
            self.not_ours(url, answer)
        error = refusal(said, answer.request_id)
        error.repeated = self.repeated
        if error.code == "outcome_unknown":
            self._nodes.leave(url)
            self._open(error, _pause(error, answer))
        if error.code in NOT_NOW:
            if error.code in ELSEWHERE:
                self._nodes.leave(url)
            pause = 0.0 if error.code in ELSEWHERE and len(self._nodes.urls) > 1 else _pause(error, answer)
            raise Retry(self._unknown(error.detail) if self.repeated else error, pause)
        self._answered()
        raise error

    def failed(self, state: tenacity.RetryCallState) -> None:
        """A try has failed."""
        if self._nodes.watch is not None and (again := _again(state)):
            self._nodes.watch.failed(again.final, str(again))

    def _answered(self) -> None:
        if self._nodes.watch is not None:
            self._nodes.watch.answered()

    def not_ours(self, url: str, answer: Answer) -> NoReturn:
        """Something else answered, such as a proxy."""
        said = answer.body[:200].decode(errors="replace")
        if answer.status in UNKNOWN_STATUSES:
            self._nodes.leave(url)
            self._open(self._unknown(f"{url} answered {answer.status}"), _seconds(answer.retry_after))
        error = UnexpectedAnswer(f"{url} answered {answer.status}, and not as Holdfast does: {said!r}", url=url)
        error.status, error.request_id = answer.status, answer.request_id
        if answer.status == 429:
            raise Retry(error, _seconds(answer.retry_after))
        raise error

    def _open(self, error: HoldfastError, pause_s: float = 0.0) -> NoReturn:
        self.repeated = True
        if not self.call.repeatable:
            raise error
        raise Retry(error, pause_s)

    def _unknown(self, why: str) -> HoldfastError:
        if self.call.method == "GET":
            return Unreachable(f"{why.rstrip('.')}. {self._tried}")
        key = self.call.idempotency_key
        tried = f" {self._tried}" if self.call.repeatable else ""
        again = "; with the same idempotency_key it is not done twice" if key is not None else ""
        what = f"{self.call.method} {_TOKEN.sub('/v1/leases/…/', self.call.path.partition('?')[0])}"
        error = OutcomeUnknown(f"{why.rstrip('.')}.{tried} {what} may or may not have been done{again}.")
        if key is not None:
            error.fields["idempotency_key"] = key
        return error


def plain(error: Exception, around: BaseException | None = None) -> str:
    """What went wrong with a connection, in the words of the system and not of a library. `around` as in `causes`."""
    every = list(causes(error, around))
    of_tls = [getattr(found, "reason", None) for found in every if isinstance(found, ssl.SSLError)]
    if of_tls:  # their errno is none of the system's
        return f"TLS failed ({next(filter(None, of_tls), 'no reason is known').replace('_', ' ').lower()})"
    for found in every:
        if isinstance(found, OSError) and found.errno is not None:
            return os.strerror(found.errno) if found.errno > 0 else found.strerror or str(found)
        if isinstance(found, TimeoutError):
            return "no answer in time"
    return str(error)


def _again(state: tenacity.RetryCallState) -> Retry | None:
    error = state.outcome.exception() if state.outcome is not None else None
    return error if isinstance(error, Retry) else None


def _pause(error: HoldfastError, answer: Answer) -> float:
    after = error.fields.get("retry_after_ms")
    return after / 1_000 if isinstance(after, int) else _seconds(answer.retry_after)


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdigit() else 0.0
