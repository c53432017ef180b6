"""A job with which time can do nothing stops none of its neighbours, and is told once."""

import pytest
from structlog.testing import capture_logs

from holdfast.job import lifecycle
from holdfast.limits import ASIDE_MAX_MS
from holdfast.messages.commands import Enqueue
from holdfast.messages.time_commands import ExpireLeases, PromoteDue


def broken(monkeypatch, rule, job_id, error):
    """A rule that raises for one job."""
    whole = getattr(lifecycle, rule)

    def raises(job, *rest):
        if job.id == job_id:
            raise error
        return whole(job, *rest)

    monkeypatch.setattr(lifecycle, rule, raises)


@pytest.mark.parametrize(
    "error", [ValueError("odd"), KeyError("row"), AssertionError(), ZeroDivisionError(), AttributeError("x")]
)
@pytest.mark.parametrize("what", ["lease", "delay"])
async def test_one_that_raises_is_set_aside_and_the_others_go_on(engine, backend, new, clock, monkeypatch, error, what):
    await backend.submit(Enqueue([new(delay_ms=1_000 if what == "delay" else None) for _ in range(3)]))
    if what == "lease":
        assert len((await engine.lease(("q",), limit=3, lease_ms=1_000)).jobs) == 3
    broken(monkeypatch, "expire" if what == "lease" else "due", 1, error)
    command = ExpireLeases(2) if what == "lease" else PromoteDue(2)
    with capture_logs() as logs:
        for _ in range(20):
            clock.advance(ASIDE_MAX_MS)
            await backend.submit(command)
    assert (await engine.reading.queue("q")).tally.ready == 2
    assert len(logs) == 1
    assert len(backend.committer.aside) == 1
    monkeypatch.undo()
    clock.advance(ASIDE_MAX_MS)
    assert (await backend.submit(command)).count == 1
    assert len(backend.committer.aside) == 0


async def test_what_is_set_aside_does_not_use_up_a_bite(engine, backend, new, clock, monkeypatch):
    await backend.submit(Enqueue([new(delay_ms=1_000) for _ in range(6)]))
    whole = lifecycle.due
    monkeypatch.setattr(lifecycle, "due", lambda job, now: 1 / 0 if job.id <= 4 else whole(job, now))
    clock.advance(1_000)
    await backend.submit(PromoteDue(4))
    await backend.submit(PromoteDue(4))
    assert (await engine.reading.queue("q")).tally.ready == 2
