"""What nodes tell each other fits into messages of PostgreSQL's, and nothing of it is left out or said twice."""

import msgspec

from holdfast.engine.events import JobEvent
from holdfast.engine.nodes import Hint, _texts
from holdfast.job.job import State

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
