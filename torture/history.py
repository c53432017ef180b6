"""The recorded requests and answers: the only evidence that a checker may read.

Invariants
- A call is recorded as `invoke` before its first byte is sent, and closed by one line of
    ok    certainly done      (2xx)
    fail  certainly not done  (refused with a definite code, or never sent)
    info  unknown             (connection broke, time ran out, 503 outcome_unknown).
  A call that was never closed has an unknown outcome.
- Times are seconds of one monotonic clock in one process, so `a.ended < b.begun` means that a really came first.
- A history file is enough to run every checker again: `python -m torture --check FILE`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from pathlib import Path
from typing import IO, Any

import msgspec

from torture.digest import Digest

OK, FAIL, INFO = "ok", "fail", "info"


@dataclass(slots=True)
class Call:
    """One call of one client. `asked` and `answer` have only what a checker needs; times in seconds."""

    n: int
    client: str
    verb: str
    asked: dict[str, Any]
    begun: float
    ended: float = inf
    outcome: str = INFO
    status: int | None = None
    code: str | None = None
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.outcome == OK

    @property
    def maybe_done(self) -> bool:
        return self.outcome != FAIL


@dataclass(slots=True)
class Event:
    """Something that the harness did or saw: killed, ready, healed, drained, listed …"""

    name: str
    at: float
    details: dict[str, Any]


class History:
    """Calls and events in the order in which they began; also written to a file if one is given."""

    def __init__(self, file: Path | None = None) -> None:
        self.calls: list[Call] = []
        self.events: list[Event] = []
        self.answered = 0
        self._file: IO[bytes] | None = file.open("wb") if file else None
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def invoke(self, client: str, verb: str, asked: dict[str, Any]) -> Call:
        call = Call(len(self.calls), client, verb, asked, time.monotonic())
        self.calls.append(call)
        self._write({"n": call.n, "at": call.begun, "kind": "invoke", "client": client, "verb": verb, "asked": asked})
        return call

    def close(self, call: Call, outcome: str, status: int | None, code: str | None, answer: dict[str, Any]) -> None:
        call.ended = time.monotonic()
        call.outcome, call.status, call.code, call.answer = outcome, status, code, answer
        self._write({"n": call.n, "at": call.ended, "kind": outcome, "status": status, "code": code, "answer": answer})
        if outcome == OK:
            self.answered += 1
            self._wake()

    def event(self, name: str, **details: Any) -> None:
        event = Event(name, time.monotonic(), details)
        self.events.append(event)
        self._write({"at": event.at, "kind": "event", "name": name, "details": details})

    async def acknowledged(self, more: int) -> None:
        """Wait until `more` further calls have been answered with ok."""
        reached = asyncio.get_running_loop().create_future()
        self._waiting.append((self.answered + more, reached))
        await reached

    def named(self, name: str) -> Iterator[Event]:
        return (event for event in self.events if event.name == name)

    @cached_property
    def digest(self) -> Digest:
        """The history by value, job and lease. Computed once, so use it only after the run."""
        return Digest(self)

    def save(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _write(self, line: dict[str, Any]) -> None:
        if self._file:
            self._file.write(msgspec.json.encode(line) + b"\n")

    def _wake(self) -> None:
        for target, reached in self._waiting:
            if self.answered >= target and not reached.done():
                reached.set_result(None)
        self._waiting = [(target, reached) for target, reached in self._waiting if not reached.done()]


def read(file: Path) -> History:
    """Read a history file back, as it stood when the run ended."""
    history = History()
    with file.open("rb") as lines:
        for text in lines:
            line = msgspec.json.decode(text)
            if line["kind"] == "event":
                history.events.append(Event(line["name"], line["at"], line["details"]))
            elif line["kind"] == "invoke":
                call = Call(line["n"], line["client"], line["verb"], line["asked"], line["at"])
                history.calls.append(call)
            else:
                call = history.calls[line["n"]]
                call.ended, call.outcome = line["at"], line["kind"]
                call.status, call.code, call.answer = line["status"], line["code"], line["answer"]
    return history
