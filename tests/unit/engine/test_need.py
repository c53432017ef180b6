"""How many workers a queue needs, from what waits and how long its last jobs took."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.engine.need import need
from holdfast.job.queue import QueuePolicy, QueueSettings, Tally
from holdfast.limits import ID_MAX
from holdfast.messages.views import QueueInfo, QueueLoad

NOW = 1_800_000_000_000


def load(
    ready: int = 0, leased: int = 0, work_ms: float | None = None, concluded: int = 0, since: int | None = None, **info: object
):
    tally = Tally(ready=ready, leased=leased)
    queue = QueueInfo("q", QueueSettings(), info.pop("policy", QueuePolicy()), False, NOW, tally)  # type: ignore[arg-type]
    return QueueLoad(replace(queue, **info), NOW, NOW - 5_000 if ready else None, concluded, since, work_ms)


def test_an_idle_queue_needs_nobody():
    found = need(load(), 60_000, 1)
    assert (found.workers, found.jobs_at_once, found.drain_ms, found.oldest_ready_ms) == (0, 0, 0, None)


def test_one_job_wakes_one_worker_though_nothing_is_known():
    found = need(load(ready=1_000), 60_000, 20)
    assert (found.workers, found.jobs_at_once, found.drain_ms) == (1, 1, None)
    assert found.oldest_ready_ms == 5_000


def test_the_backlog_is_done_in_the_time_that_was_asked_for():
    found = need(load(ready=600, work_ms=2_000.0, concluded=100, since=NOW - 50_000), 60_000, 4)
    assert found.jobs_at_once == 20  # 600 jobs of 2 s are 1,200 s of work
    assert found.workers == 5
    assert found.concluded_per_s == 2.0
    assert found.drain_ms == 300_000


def test_a_worker_that_runs_a_job_is_not_taken_away():
    assert need(load(leased=10, work_ms=1.0), 60_000, 1).workers == 10


def test_a_paused_queue_needs_those_that_run():
    assert need(load(ready=100, leased=2, work_ms=60_000.0, paused=True), 60_000, 1).workers == 2


def test_a_queue_that_runs_so_many_at_once_needs_no_more():
    bounded = QueuePolicy(max_running=3)
    assert need(load(ready=100, leased=1, work_ms=60_000.0, policy=bounded), 60_000, 1).workers == 3
    assert need(load(ready=100, leased=5, work_ms=60_000.0, policy=bounded), 60_000, 1).workers == 5


def test_a_conclusion_of_this_very_moment_is_no_division_by_zero():
    assert need(load(ready=1, concluded=1, since=NOW, work_ms=0.0), 60_000, 1).concluded_per_s == 1.0


@given(
    ready=st.integers(0, 10**12),
    leased=st.integers(0, 10**6),
    work_ms=st.none() | st.floats(0, 1e12),
    drain_ms=st.integers(1, 86_400_000),
    slots=st.integers(1, 10_000),
)
def test_it_lies_between_what_runs_and_what_there_is(ready: int, leased: int, work_ms: float | None, drain_ms: int, slots: int):
    found = need(load(ready, leased, work_ms), drain_ms, slots)
    assert leased <= found.jobs_at_once <= ready + leased
    assert (found.workers == 0) == (ready + leased == 0)
    assert (found.workers - 1) * slots < max(1, found.jobs_at_once) <= max(1, found.workers * slots)


@given(
    since=st.integers(-(2**63), 2**63 - 1),
    oldest=st.integers(-(2**63), 2**63 - 1),
    concluded=st.integers(1, 100),
    ready=st.integers(1, 10**12),
)
def test_whatever_a_damaged_row_says_the_answer_can_be_sent(since: int, oldest: int, concluded: int, ready: int):
    damaged = load(ready, 0, 1e18, concluded, since)
    found = need(QueueLoad(damaged.info, NOW, oldest, concluded, since, 1e18), 1, 1)
    assert 0 <= found.oldest_ready_ms <= ID_MAX
    assert found.drain_ms is not None
    assert 0 <= found.drain_ms <= ID_MAX
