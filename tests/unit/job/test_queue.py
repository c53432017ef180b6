"""A queue's arithmetic: what it counts, whether it has room, how many it lends, and which settings are in force."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import asdict, astuple

from holdfast.job.job import HISTORY, UNFINISHED, State
from holdfast.job.queue import Queue, QueuePolicy, QueueSettings, Tally
from holdfast.job.retry import RetryPolicy

OTHER = QueuePolicy(
    capacity_jobs=1,
    capacity_bytes=2,
    lease_ms=3,
    max_attempts=4,
    max_crashes=5,
    max_running=6,
    retention_ms=7,
    retry=RetryPolicy(base_ms=8),
    retention_jobs=9,
    retention_bytes=10,
)


def queue(tally: Tally, paused: bool = False, **policy) -> Queue:
    return Queue(1, "q", QueueSettings(), QueuePolicy(**policy), paused, 0, tally)


moves = st.lists(
    st.tuples(
        st.sampled_from([None, *State]), st.sampled_from([None, *State]), st.integers(0, 1 << 40), st.integers(0, 1 << 20)
    ),
    max_size=40,
)


@given(moves)
def test_a_tally_counts_each_move_out_of_one_state_and_into_the_other(moves):
    tally, counts, size_of_unfinished, size_of_history = Tally(), dict.fromkeys(State, 0), 0, 0
    for before, after, size, result in moves:
        tally.move(before, after, size, result)
        if before is not None:
            counts[before] -= 1
            size_of_unfinished -= size * (before in UNFINISHED)
            size_of_history -= (size + result) * (before in HISTORY)
        if after is not None:
            counts[after] += 1
            size_of_unfinished += size * (after in UNFINISHED)
            size_of_history += (size + result) * (after in HISTORY)
    assert {state: getattr(tally, state.value) for state in State} == counts
    assert (tally.bytes, tally.history_bytes) == (size_of_unfinished, size_of_history)
    assert tally.unfinished == sum(counts[state] for state in UNFINISHED)


@given(moves)
def test_what_moves_there_and_back_leaves_the_tally_as_it_was(moves):
    tally = Tally()
    for before, after, size, result in moves:
        tally.move(before, after, size, result)
    for before, after, size, result in reversed(moves):
        tally.move(after, before, size, result)
    assert astuple(tally) == astuple(Tally())


@pytest.mark.parametrize("filled", [{"ready": 7}, {"scheduled": 7}, {"leased": 7}, {"scheduled": 2, "ready": 3, "leased": 2}])
def test_jobs_that_wait_and_jobs_that_run_take_room_alike(filled):
    full = queue(Tally(**filled), capacity_jobs=10)
    assert full.has_room(3, 0)
    assert not full.has_room(4, 0)


def test_jobs_that_have_ended_take_no_room():
    assert queue(Tally(concluded=50, dead=50, cancelled=50), capacity_jobs=1).has_room(1, 0)


def test_room_is_counted_in_bytes_too_and_to_the_last_one():
    full = queue(Tally(ready=1, bytes=90), capacity_bytes=100)
    assert full.has_room(1, 10)
    assert not full.has_room(1, 11)


def test_a_queue_of_capacity_nothing_takes_nothing():
    assert not queue(Tally(), capacity_jobs=0).has_room(1, 0)


@pytest.mark.parametrize(
    ("tally", "paused", "max_running", "lent"),
    [
        (Tally(ready=5), False, None, 5),
        (Tally(ready=5, leased=100), False, None, 5),
        (Tally(ready=5), True, None, 0),
        (Tally(ready=5, leased=1), False, 3, 2),
        (Tally(ready=1, leased=1), False, 3, 1),
        (Tally(ready=5, leased=3), False, 3, 0),
        (Tally(ready=5, leased=9), False, 3, 0),
        (Tally(ready=5), False, 0, 0),
        (Tally(ready=5), True, 3, 0),
    ],
)
def test_a_queue_lends_what_is_ready_unless_it_is_paused_and_up_to_what_may_run(tally, paused, max_running, lent):
    assert queue(tally, paused, max_running=max_running).may_lease() == lent


@pytest.mark.parametrize("name", QueueSettings.__struct_fields__)
def test_each_setting_of_a_queue_stands_over_the_servers_default_and_over_nothing_else(name):
    settings = QueueSettings(**{name: getattr(OTHER, name)})
    assert asdict(QueuePolicy().with_settings(settings)) == asdict(QueuePolicy()) | {name: getattr(OTHER, name)}


@pytest.mark.parametrize("name", ["max_running", "retention_ms", "retention_jobs", "retention_bytes"])
def test_a_setting_of_null_lifts_the_bound_where_the_default_has_one(name):
    assert getattr(OTHER.with_settings(QueueSettings(**{name: None})), name) is None


def test_a_queue_that_sets_nothing_follows_the_defaults_also_when_they_change():
    assert QueueSettings().capacity_jobs is UNSET
    assert OTHER.with_settings(QueueSettings()) == OTHER
