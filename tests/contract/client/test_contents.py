"""JSON that Python can't hold harms nobody but who asks for it; JSON that can't be said is refused."""

import dataclasses
import decimal
import json
import math
import random
from typing import Any

import httpx
import msgspec
import pytest

from holdfast import NewJob
from holdfast.client import UnexpectedAnswer, UnreadableJson
from holdfast.client.contents import elements, encode, members
from holdfast.client.refusals import problem
from holdfast.client.retry import decode
from holdfast.client.types import Enqueued, Job, JobPage, Leased, Purged

TAKEN = {  # by the server, and no value of Python's
    "1e999": "1e999",
    "-1e999": "-1e999",
    "5,000 digits": "9" * 5_000,
    "5,000 digits, negative": "-" + "9" * 5_000,
    "deep within": '{"a": [1, {"b": [1e999]}]}',
    "many": "[" + ",".join(["1e400"] * 1_000) + "]",
}
NEVER_JSON = {  # what a server should not have, and one that was filled by other hands may
    "NaN": b"NaN",
    "infinities": b'{"a": [Infinity, -Infinity]}',
    "half a surrogate pair": b'"\\ud800"',
    "half a surrogate pair as a key": b'{"\\udfff": 1}',
    "deeper than any reader": b"[" * 100_000 + b"]" * 100_000,
    "a word": b"hello",
    "no UTF-8": b'"\xff\xfe"',
    "nothing": b"",
    "a control character": b'"a\x01b"',
    "brackets in a text": b'"]}\\"[{" x',
}
FINE = {"duplicate keys": '{"a": 1, "a": 2}', "2^64": str(2**64), "1e308": "1e308", "tiny": "1e-999", "4,000 digits": "[1]"}


def put(server, queue, payload: str) -> int:
    said = httpx.post(f"{server.url}/v1/queues/{queue}/jobs", content=f'{{"payload": {payload}}}')
    assert said.status_code == 201, said.text
    return said.json()["id"]


@pytest.mark.parametrize("name", TAKEN)
def test_a_payload_that_python_cannot_hold_harms_only_who_asks_for_it(client, shared, queue, name):
    bad, good = put(shared, queue, TAKEN[name]), put(shared, queue, '"good"')
    for job in (client.job(bad), *client.jobs(queue=queue), *client.lease(queue, max=10)):
        assert (job.queue, job.attempt in (0, 1)) == (queue, True)
        if job.id == good:
            assert job.payload == "good"
            continue
        with pytest.raises(UnreadableJson) as unreadable:
            job.payload  # noqa: B018
        assert unreadable.value.code == "unreadable_json"
        assert f"payload of job {bad}" in str(unreadable.value)
        assert bytes(job.payload_json).decode() == TAKEN[name]


@pytest.mark.parametrize("name", FINE)
def test_what_python_can_hold_is_read_as_ever(client, shared, queue, name):
    assert client.job(put(shared, queue, FINE[name])).payload == json.loads(FINE[name])


@pytest.mark.parametrize("name", TAKEN)
def test_progress_and_results_that_python_cannot_hold_are_told_apart_from_their_jobs(client, shared, queue, name):
    job_id = client.enqueue(queue, 1).id
    (job,) = client.lease(queue)
    where = f"{shared.url}/v1/leases/{job.lease.token}"
    assert httpx.post(f"{where}/extend", content=f'{{"progress": {TAKEN[name]}}}').status_code == 200
    assert httpx.post(f"{where}/conclude", content=f'{{"result": {TAKEN[name]}}}').status_code == 200
    job = client.wait(job_id)
    assert (job.state, job.payload) == ("concluded", 1)
    for ask in (lambda: client.result(job_id), lambda: job.result, lambda: job.progress):
        with pytest.raises(UnreadableJson):
            ask()
    assert bytes(job.result_json).decode() == TAKEN[name]


def test_who_names_a_type_may_hold_more_than_python_does_by_itself(client, shared, queue):
    job = client.job(put(shared, queue, '{"price": 1e999}'))
    assert job.payload_as(dict[str, decimal.Decimal]) == {"price": decimal.Decimal("1e999")}


def test_what_is_read_is_read_once_and_may_be_changed(client, queue):
    job = client.job(client.enqueue(queue, {"n": 1}).id)
    job.payload["n"] = 2
    assert job.payload == {"n": 2}


@pytest.mark.parametrize("name", NEVER_JSON)
@pytest.mark.parametrize("kind", [Job, JobPage, Leased])
def test_an_answer_in_which_one_payload_is_no_json_is_read_but_for_that(kind, name):
    def job(number: int, payload: bytes) -> bytes:
        said = {"id": number, "queue": "q", "state": "ready", "priority": 1, "attempt": 0, "max_attempts": 5, "reason": '],"'}
        said |= dict.fromkeys(("created_at", "ready_at"), "2026-11-22T23:14:00.772Z") | {"tags": ["a", "]"]}
        return json.dumps(said).encode()[:-1] + b', "payload": ' + payload + b', "payload_bytes": 5}'

    bad, good = job(1, NEVER_JSON[name]), job(2, b'"good"')
    if kind is Job:
        jobs = [decode(Job, bad), decode(Job, good)]
    else:
        page = decode(kind, b'{"jobs": [' + bad + b", " + good + b'], "next_cursor": null}')
        jobs = page.jobs
    assert [(each.id, each.tags, each.payload_bytes) for each in jobs] == [(1, ["a", "]"], 5), (2, ["a", "]"], 5)]
    assert jobs[1].payload == "good"
    with pytest.raises(UnreadableJson):
        jobs[0].payload  # noqa: B018


@pytest.mark.parametrize("kind", [dict[str, Any], Job, JobPage, Enqueued, Purged])
@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"a": 1e999}', b'{"payload": {}', b"<html>", b"[" * 100_000, b'{"jobs": [1, 2]}', b"\xff"]
)
def test_an_answer_that_is_not_ours_is_told_as_one(kind, body):
    if kind == dict[str, Any] and body.startswith(b'{"jobs"'):
        return  # it is one
    with pytest.raises(UnexpectedAnswer):
        decode(kind, body)
    assert problem(body) is None


def test_objects_and_arrays_are_taken_apart_as_they_are_written():
    dice = random.Random(5)

    def value(depth: int):
        pick = dice.randrange(9 if depth else 6)
        if pick == 6:
            return [value(depth - 1) for _ in range(dice.randrange(4))]
        if pick >= 7:
            return {"".join(dice.choices('a"\\{}[],:\u20ac\n', k=3)): value(depth - 1) for _ in range(dice.randrange(4))}
        return [None, True, 1.5, -3, '}],{["\\', "\u20ac"][pick]

    for _ in range(500):
        thing = {f"k{n}": value(4) for n in range(dice.randrange(5))}
        indent = dice.choice([None, 2])
        assert {name: json.loads(part) for name, part in members(json.dumps(thing, indent=indent).encode()).items()} == thing
        listed = list(thing.values())
        assert [json.loads(part) for part in elements(json.dumps(listed, indent=indent).encode())] == listed


@pytest.mark.parametrize("text", [b"", b"7", b"[", b"{", b"[1", b'{"a"}', b"[[]", b"[]]", b'{"a":1', b'"{}"'])
def test_what_is_neither_is_refused(text):
    with pytest.raises((ValueError, AssertionError)):
        (members if text.startswith(b"{") else elements)(text)


@dataclasses.dataclass
class Measured:
    value: float


class Struct(msgspec.Struct):
    value: float | None


NO_NUMBERS = [
    math.nan,
    math.inf,
    -math.inf,
    [None, 1.0, math.nan],
    {"a": {"b": [math.inf]}},
    (1, math.nan),
    {"x": None, "y": -math.inf},
    Measured(math.nan),
    Struct(math.inf),
    [Struct(None), Measured(math.nan)],
]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_json_has_no_number_for_is_refused_and_never_becomes_null(client, queue, value):
    with pytest.raises(ValueError, match="NaN and infinities"):
        client.enqueue(queue, value)
    with pytest.raises(ValueError, match="NaN and infinities"):
        client.enqueue_many([NewJob(queue=queue, payload=value)])
    with pytest.raises(ValueError, match="NaN and infinities"):
        client.publish(value)
    client.enqueue(queue, 1)
    (job,) = client.lease(queue)
    for say in (lambda: client.conclude(job.lease.token, value), lambda: client.extend(job.lease.token, progress=value)):
        with pytest.raises(ValueError, match="NaN and infinities"):
            say()
    assert client.conclude(job.lease.token, {"none": None}).state == "concluded"
    assert client.result(job.id) == {"none": None}


@pytest.mark.parametrize("value", [None, {"a": None}, "null", [msgspec.Raw(b"null")], {1: None}, Measured(1.0), Struct(None)])
def test_nulls_that_are_meant_are_said(value):
    assert json.loads(encode(value)) is not ...
    assert b"null" in encode([None, value])


@pytest.mark.parametrize(
    "tags", [["a,b"], ["a", "b,c", ""], [","], ["[x]"], ['["a"]'], ["a b", "\u20ac", '"'], ["plain", "two"]]
)
def test_a_tag_of_a_raw_payload_stays_one_tag(client, queue, tags):
    job = client.job(client.enqueue(queue, b"raw", tags=tags).id)
    assert (job.tags, job.body) == (tags, b"raw")
    assert [each.id for tag in tags[:1] for each in client.jobs(queue=queue, tag=tag)] == [job.id]
