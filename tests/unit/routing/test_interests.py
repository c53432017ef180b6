"""Which queues get an event: the pairs of patterns, nested fields, and that nothing is lost when RE2 runs out of memory."""

import random
import re
import time

import msgspec
import pytest

from holdfast.errors import InvalidRequest
from holdfast.limits import INTEREST_PAIRS, PATTERN_CHARS, PUBLISHED_FIELDS
from holdfast.routing import interests, patterns
from holdfast.routing.fields import fields_of
from holdfast.routing.interests import Change, Interests
from holdfast.routing.patterns import PatternSet
from holdfast.stores.formats import UNREADABLE, match_of


def queues(match_by_queue: dict, data: bytes) -> list[str]:
    return Interests(1, match_by_queue).queues_for(data)


@pytest.mark.parametrize(
    ("match", "data", "wanted"),
    [
        ("*", b'{"a":1}', True),
        ("*", b"[1]", True),
        ("*", b"null", True),
        ({"email": "^.*"}, b'{"email":"evan@example.com"}', True),
        ({"email": "^.*"}, b'{"userId":1}', False),
        ({"email": "^.*evan.*"}, b'{"email":"evan@example.com"}', True),
        ({"email": "^.*evan.*"}, b'{"email":"bob@example.com"}', False),
        ({"email": "^.*", "userId": "^.*"}, b'{"userId":7}', True),
        ({"^action$": "^userCreated$"}, b'{"action":"userCreated"}', True),
        ({"^action$": "^userCreated$"}, b'{"reaction":"userCreated"}', False),
        ({"action": "Created"}, b'{"reaction":"userCreated"}', True),
        ({"^user\\.email$": "@"}, b'{"user":{"email":"a@b"}}', True),
        ({"^tags$": "^red$"}, b'{"tags":["blue","red"]}', True),
        ({"^tags\\.0$": "^red$"}, b'{"tags":["blue","red"]}', False),
        ({"^n$": "^12345678901234567890$"}, b'{"n": 12345678901234567890 }', True),
        ({"^n$": "^1e3$"}, b'{"n":1e3}', True),
        ({"^ok$": "^true$"}, b'{"ok":true}', True),
        ({"^gone$": "^null$"}, b'{"gone":null}', True),
        ({".*": "x"}, b"[]", False),
        ({".*": "é"}, '{"ü":"é"}'.encode(), True),
        ({"": ""}, b'{"a":"b"}', True),
    ],
)
def test_an_event_reaches_the_queues_whose_interest_fits(match, data, wanted):
    assert queues({"q": match}, data) == (["q"] if wanted else [])


def test_a_queue_with_several_pairs_that_fit_is_named_once_and_in_order():
    assert queues({"b": {"x": "1", "y": "2"}, "a": "*", "c": {"z": "9"}}, b'{"x":1,"y":2}') == ["a", "b"]


def test_a_field_of_one_pair_and_a_value_of_another_do_not_make_a_match():
    assert queues({"q": {"^a$": "^1$", "^b$": "^2$"}}, b'{"a":2,"b":1}') == []


def test_nested_fields_have_dotted_paths():
    found = list(fields_of(b'{"a":{"b":{"c":"x"}},"d":[true,{"e":null}]}'))
    assert found == [("a.b.c", "x"), ("d", "true"), ("d.0", "true"), ("d.e", "null"), ("d.1.e", "null")]


@pytest.mark.parametrize("pattern", [r"(a)\1", "(?=a)", "(", "a{1001}", "[z-a]"])
def test_a_pattern_that_can_not_be_matched_in_linear_time_is_refused_with_its_reason(pattern):
    with pytest.raises(InvalidRequest) as refused:
        interests.check({"field": pattern})
    assert "the value" in refused.value.fields["field"]
    assert len(refused.value.detail) > len(refused.value.fields["field"]) + 20


def test_the_bounds_on_patterns_and_pairs_are_exact():
    interests.check({"f": "x" * PATTERN_CHARS})
    with pytest.raises(InvalidRequest):
        interests.check({"f": "x" * (PATTERN_CHARS + 1)})
    interests.check({f"f{n}": "x" for n in range(INTEREST_PAIRS)})
    for wrong in ({f"f{n}": "x" for n in range(INTEREST_PAIRS + 1)}, {}, "all"):
        with pytest.raises(InvalidRequest):
            interests.check(wrong)


def test_an_event_with_too_many_fields_is_refused_rather_than_matched_in_part():
    data = b"{" + b",".join(b'"f%d":1' % n for n in range(PUBLISHED_FIELDS + 1)) + b"}"
    with pytest.raises(InvalidRequest):
        queues({"q": {"x": "y"}}, data)


@pytest.mark.parametrize(("memory", "together"), [(1 << 16, False), (1 << 18, True), (1 << 20, True), (1 << 24, True)])
def test_patterns_that_outgrow_the_automaton_are_still_matched(monkeypatch, memory, together):
    monkeypatch.setattr(patterns, "PATTERN_MEMORY_BYTES", memory)
    many = [f"{'[ab]' * 3}.*x{n}.*{'[cd]' * 3}" for n in range(60)]
    text = "".join("abcd"[n % 4] * 3 + f"x{n}" for n in range(60)) + "ccc"
    expected = {n for n, pattern in enumerate(many) if re.search(pattern, text)}
    assert expected
    found = PatternSet(many)
    assert found._chunks[0].together is together
    assert found.match(text) == expected


def test_a_hostile_pattern_takes_linear_time():
    started = time.perf_counter()
    assert queues({"q": {".*": "(a+)+b"}}, b'{"x":"' + b"a" * 50_000 + b'"}') == []
    assert time.perf_counter() - started < 2


def test_ten_thousand_interests_find_the_one_that_fits():
    many = Interests(1, {f"q{n}": {"^user$": f"^user-{n}$"} for n in range(10_000)})
    assert many.queues_for(b'{"user":"user-7777"}') == ["q7777"]


def test_interests_that_followed_their_changes_are_those_read_anew():
    dice = random.Random(1)
    wanted: dict = {}
    followed = Interests(0, wanted)
    for version in range(200):
        queue = f"q{dice.randrange(20)}"
        match = dice.choice([None, "*", {f"^f{dice.randrange(3)}": f"{dice.randrange(5)}$"}, {"f": "1", "^f1$": "[23]"}])
        assert followed.follow(Change(version, version + 1, {queue: match}))
        followed = followed.anew() if followed.mostly_unused else followed
        wanted.pop(queue, None)
        if match is not None:
            wanted[queue] = match
        for field in ("f0", "f1", "g"):
            data = f'{{"{field}":{dice.randrange(30)}}}'.encode()
            assert followed.queues_for(data) == queues(wanted, data)


def test_a_change_after_one_that_was_missed_is_not_followed():
    known = Interests(3, {"a": "*"})
    assert not known.follow(Change(4, 5, {"b": "*"}))
    assert (known.version, known.queues_for(b"{}")) == (3, ["a"])
    assert known.follow(Change(3, 5, {"b": "*"}))
    assert (known.version, known.queues_for(b"{}")) == (5, ["a", "b"])


def test_patterns_that_no_interest_has_any_more_are_counted_and_are_gone_anew():
    known = Interests(0, {"kept": {"^a$": "^1$"}})
    size = known.share.program
    for version in range(0, 200, 2):
        assert known.follow(Change(version, version + 1, {"q": {"^a$": f"^{version}$", "b|c": "^1$"}}))
        assert known.follow(Change(version + 1, version + 2, {"q": None}))
    assert known.share.program - known.unused == size
    assert known.mostly_unused
    anew = known.anew()
    assert (anew.version, anew.share.program, anew.unused, anew.mostly_unused) == (200, size, 0, False)
    assert anew.queues_for(b'{"a":1}') == known.queues_for(b'{"a":1}') == ["kept"]
    assert known.follow(Change(200, 201, {"q": {"b|c": "^2$"}})), "one that comes back is used again"
    assert known.queues_for(b'{"b":2}') == ["q"]


def test_pairs_that_came_and_went_leave_nothing_though_their_patterns_are_in_use():
    known = Interests(0, {f"q{n}": {f"^f{n}$": f"^v{n}$"} for n in range(100)})
    for version in range(1_000):
        assert known.follow(Change(version, version + 1, {"q": {f"^f{version % 100}$": f"^v{version // 10}$"}}))
    assert not known.mostly_unused
    assert sum(map(len, known._wanted.values())) <= 101


def test_what_is_remembered_of_names_of_fields_has_a_bound():
    known = Interests(0, {"q": {"^user$": "."}})
    for n in range(10):
        names = {f"{'x' * 400}{n}-{m}": 1 for m in range(1_000)}
        assert known.queues_for(msgspec.json.encode(names | {"user": "a"})) == ["q"]
    assert len(known._known) <= 4_000


def test_a_change_of_one_interest_among_ten_thousand_costs_only_its_neighbours():
    pattern = {n: {"^user$": f"^user-{n}$"} for n in range(10_000)}
    started = time.perf_counter()
    many = Interests(1, {f"q{n}": match for n, match in pattern.items()})
    many.queues_for(b'{"user":"user-7777"}')
    whole = time.perf_counter() - started
    assert many.follow(Change(1, 2, {"q7777": {"^user$": "^user-(x|y)$"}}))
    started = time.perf_counter()
    assert many.queues_for(b'{"user":"user-y"}') == ["q7777"]
    assert time.perf_counter() - started < whole / 2
    assert many.queues_for(b'{"user":"user-7777"}') == []


def test_names_that_every_pattern_fits_are_looked_through_once():
    many = Interests(1, {f"q{n}": {f"^(user|u{n})$": f"^user-{n}$"} for n in range(2_000)})
    assert many.queues_for(b'{"user":"user-77"}') == ["q77"]
    assert many.queues_for(b'{"user":"user-78","u79":"user-79","u80":"user-81"}') == ["q78", "q79"]
    assert many._known.keys() == {"user", "u79", "u80"}


TAKEN_BEFORE = {  # by an earlier version, which knew of no bound but RE2's
    "one pattern": ({"f": r"^\pL{100}$"}, {"f": "é" * 100}),
    "as large as RE2 took": ({"f": r"^(?:\pL{250}|\PL{250})"}, {"f": "é" * 251}),
    "a field": ({r"^(?:f|\pL{60})$": "é"}, {"é" * 60: "é"}),
    "all together": ({f"^f{n}$": r"^[^x]{200}" for n in range(64)}, {"f63": "y" * 200}),
}


@pytest.mark.parametrize(("match", "event"), TAKEN_BEFORE.values(), ids=TAKEN_BEFORE)
def test_an_interest_of_an_older_store_goes_on_though_it_is_larger_than_what_is_taken_now(match, event):
    with pytest.raises(InvalidRequest):
        interests.check(match)
    kept = match_of(msgspec.json.encode(match).decode())
    assert queues({"old": kept, "all": "*", "no": {"other": "x"}}, msgspec.json.encode(event)) == ["all", "old"]


@pytest.mark.parametrize("text", ["{", '{"f": 1}', "{}", '{"f": "("}', '{"(": "f"}', '{"f": "\\\\pL{1000}"}', '"x"', "[]"])
def test_an_interest_that_can_not_be_matched_at_all_is_one_that_can_not_be_read(text):
    with pytest.raises(UNREADABLE):
        match_of(text)
