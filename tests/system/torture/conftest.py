"""Histories written by hand: one call per line, with times in seconds, so that a test reads like a log."""

from typing import Any

import pytest

from torture.checkers import ALL
from torture.history import Call, History


class Story:
    """Builds a history. Every call takes from `begun` to `ended`, by default the next whole second."""

    def __init__(self) -> None:
        self.history = History()
        self._now = 0.0

    def call(
        self,
        verb: str,
        asked: dict[str, Any],
        answer: dict[str, Any] | None = None,
        at: tuple[float, float] | None = None,
        outcome: str = "ok",
        status: int | None = 200,
        code: str | None = None,
    ) -> Call:
        call = self.history.invoke("client", verb, asked)
        self.history.close(call, outcome, status, code, answer or {})
        call.begun, call.ended = at or (self._now + 1, self._now + 2)
        self._now = max(self._now, call.ended)
        return call

    def submit(
        self,
        *values: str,
        ids: tuple[int, ...] = (),
        queue: str = "q",
        key: str | None = None,
        unique: str | None = None,
        **more: Any,
    ) -> Call:
        jobs = [{"value": value, "queue": queue} | ({"unique_key": unique} if unique else {}) for value in values]
        return self.call("submit", {"jobs": jobs, "key": key}, {"ids": list(ids)}, **more)

    def refused(self, *values: str, code: str = "queue_full", status: int = 429, **more: Any) -> Call:
        return self.submit(*values, outcome="fail", status=status, code=code, **more)

    def unknown(self, *values: str, **more: Any) -> Call:
        return self.submit(*values, outcome="info", status=None, code="broken", **more)

    def claim(
        self,
        job: int,
        value: str,
        attempt: int = 1,
        ms_left: int = 10_000,
        queue: str = "q",
        token: str | None = None,
        **more: Any,
    ) -> Call:
        told = {
            "id": job,
            "value": value,
            "queue": queue,
            "attempt": attempt,
            "token": token or f"{job}.{attempt}",
            "ms_left": ms_left,
        }
        return self.call("claim", {"queues": [queue], "request_id": None}, {"jobs": [told]}, **more)

    def use(self, verb: str, job: int, attempt: int = 1, **more: Any) -> Call:
        return self.call(verb, {"job": job, "attempt": attempt, "token": f"{job}.{attempt}"}, **more)

    def conclude(self, job: int, attempt: int = 1, **more: Any) -> Call:
        return self.use("conclude", job, attempt, answer={"state": "concluded"}, **more)

    def manage(self, verb: str, job: int, **more: Any) -> Call:
        return self.call(verb, {"job": job}, **more)

    def bound(self, capacity: int, queue: str = "q") -> Call:
        return self.call("set_queue", {"queue": queue, "settings": {"capacity_jobs": capacity}})

    def healed(self, at: float) -> None:
        self.history.event("healed")
        self.history.events[-1].at = at

    def listed(self, *jobs: tuple[int, str, str], queue: str = "q") -> None:
        self.history.event(
            "listed",
            jobs=[{"id": job, "value": value, "queue": queue, "state": state, "attempt": 1} for job, value, state in jobs],
        )

    def found(self) -> set[tuple[str, str]]:
        """The number of each checker that found something, with the kind of violation."""
        return {(violation.checker, violation.kind) for checker in ALL.values() for violation in checker(self.history)}


@pytest.fixture
def story() -> Story:
    return Story()
