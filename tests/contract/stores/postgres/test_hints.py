"""What nodes tell each other fits into messages of PostgreSQL's, and nothing of it is left out or said twice."""

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from holdfast.committer.nodes import Hint, Pace, _texts
from holdfast.job.job import State
from holdfast.messages.events import JobEvent

MESSAGE_BYTES = 8_000  # PostgreSQL takes less
FENCES = range(10**15, 10**15 + 2_000)


def test_much_news_comes_in_several_messages_and_all_of_it():
    events = [JobEvent("leased", number, "q", State.LEASED, 1) for number in FENCES]
    names = [f"queue-{number}" for number in range(700)]
    told = Hint("a", dict.fromkeys(names, 3), [*names], 7, events, stop=[*FENCES], lost=[*FENCES])
    texts = _texts(told)
    assert all(len(text.encode()) < MESSAGE_BYTES for text in texts)
    heard = [msgspec.json.decode(text, type=Hint) for text in texts]
    assert [hint.interests for hint in heard if hint.interests is not None] == [7]
    for field in ("ready", "freed", "stop", "lost"):
        assert sorted(one for hint in heard for one in getattr(hint, field)) == sorted(getattr(told, field))
    assert [event for hint in heard for event in hint.jobs] == events


def test_no_news_is_no_message():
    assert _texts(Hint("a")) == []
    assert len(_texts(Hint("a", lost=[1]))) == 1


@given(
    gaps=st.lists(st.one_of(st.just(0.0), st.floats(0, 0.05), st.floats(0, 3)), max_size=300),
    rate=st.integers(1, 200),
    burst=st.integers(1, 20),
)
def test_hints_leave_at_once_after_a_quiet_spell_and_never_more_often_than_the_bound(gaps, rate, burst):
    pace = Pace(rate, burst, 0.001)
    now, may, left, quiet = 100.0, 100.0, [], True
    for gap in gaps:
        wanted = now + gap
        now = max(wanted, may)
        if left and wanted - left[-1] >= (burst + 1) / rate:
            quiet = True
        if quiet:
            assert now == wanted
            quiet = False
        may = now + pace.left(now)
        left.append(now)
    for first, began in enumerate(left):
        for last in range(first, len(left), 7):
            assert last - first + 1 <= burst + (left[last] - began) * rate + 1.001
    assert all(later - earlier >= 0.0009 for earlier, later in pairwise(left))


def test_as_many_as_may_leave_together_do_not_wait_for_each_other():
    pace = Pace()
    waits = [pace.left(100 + number / 1000) for number in range(12)]
    assert max(waits[:9]) <= 0.002
    assert waits[-1] > 0.015
