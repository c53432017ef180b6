"""Who counts as alive, as pure rules."""

from holdfast.job.registry import Worker, WorkerState, quieten, silent, takes_from

WORKER = Worker("w-1", "host", ("a", "b"), WorkerState.RUNNING, 1_000)


def test_a_running_worker_takes_from_its_queues_and_no_others():
    assert takes_from(WORKER, "a")
    assert not takes_from(WORKER, "c")


def test_a_quiet_worker_takes_nothing_and_stays_quiet():
    quiet = quieten(WORKER)
    assert quiet.state is WorkerState.QUIET
    assert not takes_from(quiet, "a")
    assert quieten(quiet) is quiet
    assert WORKER.state is WorkerState.RUNNING


def test_a_worker_is_silent_only_past_the_bound():
    workers = {WORKER.id: WORKER}
    assert silent(workers, {WORKER.id: 5_000}, now=6_000, silence_ms=1_000) == []
    assert silent(workers, {WORKER.id: 5_000}, now=6_001, silence_ms=1_000) == [WORKER]


def test_a_worker_that_was_never_heard_of_is_given_time_first():
    assert silent({WORKER.id: WORKER}, {}, now=10**12, silence_ms=1) == []
