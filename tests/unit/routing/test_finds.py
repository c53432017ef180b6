"""What is found costs steps, too: events with many fields, of which each fits many patterns, or the patterns of many queues."""

import time

import msgspec
import pytest

from holdfast.errors import InvalidRequest
from holdfast.limits import MATCH_STEPS, MATCH_STEPS_AT_ONCE, PUBLISHED_FIELDS
from holdfast.routing.interests import Interests, Match, steps_to_match

_FIELDS = PUBLISHED_FIELDS - 1
_SECONDS = 0.5  # 70 ms where nothing else is done; before, each took from one to a hundred seconds

INTERESTS: dict[str, dict[str, Match]] = {
    "every value fits thousands of patterns": {
        f"q{queue}": {"x|" * field + ".": f"(?:{64 * queue + field:x})?" for field in range(64)} for queue in range(100)
    },
    "every pair is that of thousands of queues": {f"queue-{queue}": {".": "^"} for queue in range(9_000)},
    "every name fits many patterns of many queues": {
        f"q{queue}": {"|" * field + ".|x": "^" for field in range(64)} for queue in range(400)
    },
    "every name fits thousands of patterns": {
        f"q{queue}": {f"(?:{16 * queue + field:x})?.?": "^" for field in range(16)} for queue in range(400)
    },
}
VALUES = {"empty": "", "short": "1", "a number": 7, "null": None}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("kind", INTERESTS)
def test_an_event_of_which_everything_fits_is_matched_or_refused_within_the_steps_of_one_turn(kind, value):
    interests = Interests(1, INTERESTS[kind])
    interests.compile()
    event = msgspec.json.encode({f"{number:x}": VALUES[value] for number in range(_FIELDS)})
    steps = steps_to_match(MATCH_STEPS_AT_ONCE)
    began = time.thread_time()
    with pytest.raises(InvalidRequest, match="too many steps"):
        interests.queues_for(event, steps)
    assert time.thread_time() - began < _SECONDS
    assert steps.taken < 1.5 * MATCH_STEPS_AT_ONCE, "they are taken before, or soon after, they are done"


def test_an_ordinary_event_for_thousands_of_queues_is_far_from_the_bound():
    interests = Interests(1, {f"queue-{number}": {"^kind$": "^made$", "^n$": f"^{number}$"} for number in range(5_000)})
    steps = steps_to_match(MATCH_STEPS)
    event = msgspec.json.encode({"kind": "made", "n": "77", "note": "", **{f"field-{n}": "" for n in range(50)}})
    assert len(interests.queues_for(event, steps)) == 5_000
    assert steps.taken < MATCH_STEPS // 20


def test_an_empty_value_is_found_by_the_patterns_that_fit_it_alone():
    interests = Interests(1, {"a": {"^x$": "^$"}, "b": {"^x$": "."}, "c": {"^y$": ""}})
    assert interests.queues_for(b'{"x":""}') == ["a"]
    assert interests.queues_for(b'{"x":"","y":""}') == ["a", "c"]
