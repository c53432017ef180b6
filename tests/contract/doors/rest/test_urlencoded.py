"""Large forms are read as the standard library reads them, a chunk at a time."""

import asyncio
import itertools
import random
import time
import tracemalloc
from urllib.parse import parse_qsl

import pytest

from holdfast.doors.rest.bodies import check_json
from holdfast.errors import HoldfastError
from holdfast.http.urlencoded import pairs_of

PIECES = ("%41", "%c3%a9", "%ff", "%", "%4", "%zz", "+", "a", "é", "=", "&", "%26", "%3d", ";", "%00", "%25", "&&", "=&")


def outcome(read, text, **options):
    try:
        return read(text, **options)
    except UnicodeDecodeError:
        return "no UTF-8"
    except ValueError:
        return "refused"


def read(text, **options):
    return asyncio.run(pairs_of(text.encode(), max_fields=100_000, **options))


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
@pytest.mark.parametrize("strict_parsing", [False, True])
def test_a_large_form_is_read_as_a_small_one_is(errors, strict_parsing):
    dice = random.Random(7)
    for _ in range(12):
        pieces = dice.choices(PIECES[: dice.choice((2, 8, 18))], k=40)
        text = "name=" + "%41" * dice.randrange(21_840, 21_850) + "".join(pieces) * 600 + "x" * dice.randrange(4)
        options = {"strict_parsing": strict_parsing, "errors": errors}
        expected = outcome(parse_qsl, text, keep_blank_values=True, max_num_fields=100_000, **options)
        assert outcome(read, text, **options) == expected


def test_a_form_of_escapes_takes_turns_with_everybody_else_and_little_memory():
    body = b"payload=" + b"%41" * 1_000_000

    async def reads():
        reading = asyncio.ensure_future(pairs_of(body, max_fields=10))
        longest, before = 0.0, time.thread_time()
        while not reading.done():
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, before = max(longest, now - before), now
        return longest, reading.result()

    longest, pairs = asyncio.run(reads())
    assert pairs == [("payload", "A" * 1_000_000)]
    assert longest < 0.1
    tracemalloc.start()
    try:
        asyncio.run(pairs_of(body, max_fields=10))
        assert tracemalloc.get_traced_memory()[1] < 5 * len(body)
    finally:
        tracemalloc.stop()


def deep(field: bytes) -> bool:
    try:
        check_json("payload", field)
    except HoldfastError:
        return True
    return False


@pytest.mark.parametrize(
    "entry", [b'"["', b'"",[]', b'"[",[]', b'"\\"["', b'"\\\\",{"]":"["}', b'["[",{"{}":"\\\\\\""}]'], ids=range(6)
)
def test_the_depth_of_many_short_texts_is_that_of_what_stands_between_them(entry):
    inner = len(list(itertools.takewhile(lambda depth: not deep(b"[" * depth + entry + b"]" * depth), range(1, 70))))
    body = b",".join([entry] * ((1 << 20) // len(entry)))
    assert not deep(b"[" * inner + body + b"]" * inner)
    assert deep(b"[" * (inner + 1) + body + b"]" * (inner + 1))
    tracemalloc.start()
    try:
        deep(b"[" + body + b"]")
        assert tracemalloc.get_traced_memory()[1] < 24 << 20, "a part for each text would be 30 to 60 MB"
    finally:
        tracemalloc.stop()


def test_a_schedules_words_are_looked_at_before_they_are_on_their_way(api):
    for field in ("cron", "timezone"):
        given = {"queue": "q", "cron": "* * * * *", "timezone": "UTC", field: "1 * * * *" * 100_000}
        refused = api.put("/v1/schedules/long", json=given)
        assert (refused.status_code, refused.json()["field"], len(refused.content) < 500) == (400, field, True)
