"""A caller's own clock: what it counts from, and that it stops where it was told."""

import asyncio
import time

import pytest

from bench.callers import marks
from bench.callers.turns import Turns, play, play_async


class Door:
    """A call takes as long as it is told; the first ones fail."""

    def __init__(self, seconds=0.0, failing=0):
        self.seconds, self.failing, self.numbers = seconds, failing, []

    def turn(self, n):
        self.numbers.append(n)
        if len(self.numbers) <= self.failing:
            raise ConnectionError("gone")
        time.sleep(self.seconds)


class Coroutines(Door):
    async def turn(self, n):
        super().turn(n)


def played(door, turns):
    if isinstance(door, Coroutines):
        asyncio.run(play_async(door, turns))
    else:
        play(door, turns)
    return turns.said()


@pytest.mark.parametrize("kind", [Door, Coroutines])
def test_a_count_is_kept_and_numbers_go_on_where_they_began(kind):
    door = kind()
    said = played(door, Turns(first=7, count=3, seconds=60.0, rate=0.0))
    assert door.numbers == [7, 8, 9]
    assert (said["next"], len(said["took"]), len(said["sent"])) == (10, 3, 3)


@pytest.mark.parametrize("kind", [Door, Coroutines])
def test_a_call_that_could_not_be_sent_in_time_counts_from_when_it_was_due(kind):
    said = played(kind(seconds=0.05), Turns(first=0, count=5, seconds=60.0, rate=100.0))
    assert said["took"][0] < said["took"][-1], "each call is 40 ms later than the one before"
    assert said["took"][-1] >= 5 * 0.05 - 4 / 100.0


@pytest.mark.parametrize("kind", [Door, Coroutines])
def test_a_call_in_time_counts_from_when_the_caller_woke(kind):
    said = played(kind(), Turns(first=0, count=0, seconds=0.2, rate=50.0))
    assert len(said["took"]) == 10
    gaps = [later - earlier for earlier, later in zip(said["sent"], said["sent"][1:], strict=False)]
    assert sum(gaps) >= 8.5 / 50.0


@pytest.mark.parametrize("kind", [Door, Coroutines])
def test_a_failed_call_is_counted_and_the_first_is_shown(kind):
    said = played(kind(failing=2), Turns(first=0, count=3, seconds=60.0, rate=0.0))
    assert said["failures"] == {"ConnectionError": 2}
    assert said["first_failure"] == "ConnectionError: gone"
    assert (len(said["took"]), len(said["sent"]), said["next"]) == (1, 3, 3)


def test_a_mark_set_in_one_mapping_is_seen_in_another(tmp_path):
    kept = marks.create(tmp_path / "marks")
    marks.attach(tmp_path / "marks")
    marks.handled(3)
    assert [bool(at) for at in kept.times[:5]] == [False, False, False, True, False]
    assert kept.begun(0, 5) == [kept.times[3]]
    assert abs(marks.clock() - kept.times[3]) < 60
    kept.close()
