import asyncio

import pytest

from torture import history
from torture.checkers import check
from torture.client import judge
from torture.history import History


def test_a_history_reads_back_as_it_was_written(tmp_path):
    file = tmp_path / "history.jsonl"
    written = History(file)
    call = written.invoke("p", "submit", {"jobs": [{"value": "a", "queue": "q"}], "key": None})
    written.close(call, "ok", 201, None, {"ids": [1]})
    written.invoke("p", "submit", {"jobs": [{"value": "b", "queue": "q"}], "key": None})
    written.event("listed", jobs=[])
    written.save()
    again = history.read(file)
    assert again.calls == written.calls
    assert again.events == written.events
    assert [str(violation) for violation in check(again)] == [str(violation) for violation in check(written)] != []


def test_a_call_that_was_never_closed_is_unknown(tmp_path):
    call = History().invoke("p", "submit", {"jobs": [], "key": None})
    assert call.outcome == "info"


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (200, None, "ok"),
        (201, None, "ok"),
        (400, "invalid_request", "fail"),
        (409, "lease_lost", "fail"),
        (429, "queue_full", "fail"),
        (507, "storage_full", "fail"),
        (503, "draining", "fail"),
        (503, "overloaded", "fail"),
        (503, "outcome_unknown", "info"),
        (503, None, "info"),
        (500, "internal_error", "info"),
        (502, None, "info"),
    ],
)
def test_each_status_has_one_of_three_outcomes(status, code, outcome):
    assert judge(status, {"code": code}).outcome == outcome


async def test_waiting_for_progress_counts_acknowledged_calls():
    story = History()
    waiting = asyncio.create_task(story.acknowledged(2))
    await asyncio.sleep(0)
    for outcome in ("ok", "fail", "info"):
        story.close(story.invoke("p", "claim", {}), outcome, None, None, {})
        await asyncio.sleep(0)
    assert not waiting.done()
    story.close(story.invoke("p", "claim", {}), "ok", 200, None, {})
    await asyncio.wait_for(waiting, 1)
