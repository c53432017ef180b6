"""The fields of an event: the names that patterns find them by, and that finding them takes steps in proportion to the event and never more than the bound."""

import json
from contextlib import suppress

import msgspec
import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import InvalidRequest
from holdfast.limits import FIELD_STEPS, PUBLISHED_FIELDS
from holdfast.routing.fields import check, fields_of, steps_to_walk
from holdfast.routing.interests import Interests

NAMES = st.sampled_from(["a", "b", "a.0", "0", "", "é", "x" * 100])
LEAVES = st.sampled_from([None, True, 0, -0.5, 1e300, "", "x", "é\n", "long " * 20])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
EVENTS = st.dictionaries(NAMES, VALUES, max_size=5)


def every_way(path, value):
    """The fields as the document describes them, found on every way that leads to one: 2^depth of them."""
    match value:
        case dict():
            for name, inner in value.items():
                yield from every_way(f"{path}.{name}" if path else name, inner)
        case list():
            for number, inner in enumerate(value if path else []):
                yield from every_way(path, inner)
                yield from every_way(f"{path}.{number}", inner)
        case str():
            yield path, value
        case _:
            yield path, json.dumps(value)


def nested(value, *kinds):
    for kind in kinds:
        value = [value] if kind == "[" else {"k": value}
    return value


@given(EVENTS)
def test_the_fields_are_those_of_every_way_each_once(event):
    data = json.dumps(event).encode()
    found = list(fields_of(data))
    assert set(found) == {(path, text) for path, text in every_way("", event) if path}
    assert found == list(fields_of(b" \n" + data + b" "))


@given(
    EVENTS,
    st.dictionaries(
        st.sampled_from(["a", r"^a\.0$", "0$", ".*", r"^x+\.", "é"]), st.sampled_from(["x", "^0$", "", "true|null"]), min_size=1
    ),
)
def test_the_same_queues_are_found_as_by_looking_at_every_way(event, match):
    compiled = [(re2.compile(field), re2.compile(value)) for field, value in match.items()]
    wanted = any(f.search(path) and v.search(text) for path, text in every_way("", event) if path for f, v in compiled)
    assert Interests(1, {"q": match}).queues_for(json.dumps(event).encode()) == (["q"] if wanted else [])


@given(
    st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda both: "[" * both[0] + "{" * both[1]),
    st.integers(0, 3),
    st.sampled_from([[], {}, 1, "text", [1, 2, [3]]]),
)
@settings(max_examples=200)
def test_a_deep_event_takes_steps_in_proportion_to_its_depth_squared_at_most(kinds, beside, leaf):
    value = leaf
    for kind in kinds:
        value = [value] if kind == "[" else {"k": value, **{f"b{n}": [] for n in range(beside)}}
    steps = steps_to_walk()
    with suppress(InvalidRequest):
        list(fields_of(json.dumps({"a": value}).encode(), steps))
    deep = len(kinds) + 4
    values, names, chars = 4 + len(kinds) * (1 + beside), 4 * deep, 3 * deep + 8
    assert steps.taken <= values * names * (1 + chars // 64)


@given(st.integers(1, PUBLISHED_FIELDS // 2), st.sampled_from(["1", '"x"', "[]", "{}", "[[]]", '{"k":[]}']))
@settings(max_examples=50)
def test_a_wide_event_takes_steps_in_proportion_to_its_width(width, leaf):
    steps = steps_to_walk()
    list(fields_of(f'{{"a":[{",".join([leaf] * width)}]}}'.encode(), steps))
    assert steps.taken <= 1 + 4 * width


HOSTILE = {
    "arrays in arrays": lambda: nested(1, *"[" * 60),
    "empty arrays in arrays": lambda: nested([], *"[" * 60),
    "second places": lambda: {"a": _second(22)},
    "second places, empty": lambda: {"a": _second(40)},
    "arrays and objects": lambda: {"a": nested([], *"[{" * 30)},
    "wide and empty": lambda: {"a": [[]] * 100_000},
    "wide objects": lambda: {f"{n}": {} for n in range(100_000)},
    "a long name over many": lambda: {"n" * 500_000: [[{}] * 500, *[{}] * 500]},
    "long names in long names": lambda: _long_names(60),
    "a long text with many names": lambda: {"a": nested("t" * 500_000, *"[" * 20)},
}


REFUSED = {
    "arrays and objects",
    "second places",
    "second places, empty",
    "wide and empty",
    "wide objects",
    "a long name over many",
    "long names in long names",
}


def _second(depth):
    value = []
    for level in range(depth):
        value = [[], value] if level % 2 else [value]  # places that differ: the names are all of their subsequences
    return value


def _long_names(depth):
    value = [[], [], [[]]]
    for _ in range(depth):
        value = {"n" * 10_000: value}
    return value


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_event_is_matched_or_refused_within_the_bound_on_steps(name):
    document = HOSTILE[name]()
    data = json.dumps(document if isinstance(document, dict) else {"a": document}).encode()
    steps = steps_to_walk()
    with suppress(InvalidRequest):
        list(fields_of(data, steps))
    assert steps.taken <= FIELD_STEPS or name in REFUSED
    if name in REFUSED:
        with pytest.raises(InvalidRequest) as refused:
            check(data, "payload")
        assert refused.value.fields["field"] == "payload"
        assert any(bound in refused.value.detail for bound in (f"{FIELD_STEPS:,}", str(PUBLISHED_FIELDS)))


def test_a_value_in_arrays_that_can_be_named_in_too_many_ways_is_refused():
    with pytest.raises(InvalidRequest, match="naming its fields"):
        check(json.dumps(HOSTILE["second places"]()).encode())


def test_what_is_no_json_in_a_stored_event_is_a_refusal_and_no_defect():
    for wrong in (b'{"a":', b'{"a":"\\ud800"}', b"{1}", b'{"a":"\xff"}'):
        with pytest.raises(InvalidRequest):
            check(wrong)


def test_numbers_keep_the_text_that_they_were_written_with():
    assert dict(fields_of(b'{"a":1e3,"b":12345678901234567890123,"c":-0,"d":1.50}')) == {
        "a": "1e3",
        "b": "12345678901234567890123",
        "c": "-0",
        "d": "1.50",
    }


def test_the_walk_reads_what_msgspec_reads():
    assert list(fields_of(msgspec.json.encode({"a": {"b": [1, {"c": None}]}}))) == [
        ("a.b", "1"),
        ("a.b.0", "1"),
        ("a.b.c", "null"),
        ("a.b.1.c", "null"),
    ]
