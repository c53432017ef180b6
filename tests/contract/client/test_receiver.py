"""The thread that waits for jobs."""

import threading
from datetime import UTC, datetime
from typing import Any

from msgspec import Raw

from holdfast.client import Unreachable
from holdfast.client.receiver import Receiver
from holdfast.client.types import Job, Lease
from holdfast.errors import Forbidden, OutcomeUnknown

PATIENCE_S = 60.0


class OneJob:
    """A client: its first call gets a job, the next one waits until it is interrupted."""

    def __init__(self, is_away: bool = False, loses_answers: bool = False) -> None:
        self.is_away = is_away
        self.loses_answers = loses_answers
        self.waits = threading.Event()
        now = datetime.now(UTC)
        lease = Lease("token", "", 60_000)
        self.jobs = [
            Job(
                id=1, queue="q", type="t", state="leased", priority=1_024, attempt=1, max_attempts=1, created_at=now, ready_at=now,
                payload_json=Raw(b"null"), lease=lease,
            )
        ]  # fmt: skip
        self.interrupted = threading.Event()
        self.interruptions = 0
        self.asked: list[str] = []

    def lease(self, queues: list[str], *, wait_ms: int, **given: Any) -> list[Job]:
        if wait_ms < 1_000:
            self.interruptions += 1
            if self.is_away:
                raise Unreachable("It is away.")
            self.interrupted.set()
            return []
        if self.jobs and not (self.is_away or self.loses_answers):
            return [self.jobs.pop()]
        self.asked.append(given["request_id"])
        if self.loses_answers and len(self.asked) == 1:
            raise OutcomeUnknown("The answer was lost.")
        self.waits.set()
        self.interrupted.wait(PATIENCE_S)
        return []

    def register_worker(self, *_: Any) -> Any:
        raise Forbidden("This key may not.")


class Held:
    lease_ms = 60_000

    def hold(self, job: Job) -> None: ...

    def release(self, tag: str) -> None: ...


def test_what_has_come_was_handed_over_when_it_is_stopped():
    """Else nobody would give it back: its lease would have to end, which counts as a crash."""
    began, go_on = threading.Event(), threading.Event()
    events: list[str] = []

    def deliver(_: Any) -> None:
        began.set()
        go_on.wait(PATIENCE_S)
        events.append("handed over")

    client: Any = OneJob()
    held: Any = Held()
    receiver = Receiver(client, held, room=lambda: 1, deliver=deliver, name=lambda: "x")

    def stop() -> None:
        receiver.stop()
        events.append("stopped")

    receiver.set_queues(["q"], False)
    assert began.wait(PATIENCE_S)
    stopping = threading.Thread(target=stop)
    stopping.start()
    stopping.join(0.3)
    go_on.set()
    stopping.join(PATIENCE_S)
    assert events == ["handed over", "stopped"]


def test_who_stops_it_does_not_wait_for_an_outage():
    client: Any = OneJob(is_away=True)
    held: Any = Held()
    receiver = Receiver(client, held, room=lambda: 1, deliver=lambda _: None, name=lambda: "x")
    receiver.set_queues(["q"], False)
    assert client.waits.wait(PATIENCE_S)
    receiver.stop()
    assert client.interruptions == 1
    client.interrupted.set()


def test_a_call_whose_answer_was_lost_is_repeated():
    """By its `request_id`: what it was given is given once more, and does not wait for the end of a lease that nobody knows of."""
    client: Any = OneJob(loses_answers=True)
    held: Any = Held()
    receiver = Receiver(client, held, room=lambda: 1, deliver=lambda _: None, name=lambda: "x")
    receiver.set_queues(["q"], False)
    assert client.waits.wait(PATIENCE_S)
    assert client.asked[0] == client.asked[1]
    receiver.stop()
