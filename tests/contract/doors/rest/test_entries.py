"""A large body is not made into more entries than the schema lets it have: neither time nor memory grows with what will be refused."""

import time
import tracemalloc

import msgspec
import pytest

from holdfast.doors.rest import bodies
from holdfast.doors.rest.types import (
    BulkIn,
    ConcludeIn,
    InterestIn,
    JobEdit,
    JobIn,
    LeaseBatchIn,
    LeasesIn,
    PublishIn,
    PurgeIn,
    ScheduleIn,
    WorkerIn,
)
from holdfast.errors import InvalidRequest
from holdfast.limits import BATCH_FOLLOW_UPS

SIZE = 2 << 20


def full(before: bytes, entry: bytes, behind: bytes) -> bytes:
    count = (SIZE - len(before) - len(behind)) // (len(entry) + 1)
    return before + b",".join([entry] * count) + behind


TOO_MANY = {
    "jobs": (BulkIn, full(b'{"jobs":[', b'{"queue":"a"}', b"]}"), "jobs"),
    "jobs that are empty": (BulkIn, full(b'{"jobs":[', b"{}", b"]}"), "jobs"),
    "jobs, the list twice": (BulkIn, full(b"{", b'"jobs":[' + b",".join([b'{"queue":"a"}'] * 900) + b"]", b"}"), "jobs"),
    "tags of one of many jobs": (
        BulkIn,
        full(b'{"jobs":[{"queue":"b"},{"queue":"a","tags":[', b'"\\""', b"]}]}"),
        "jobs[1].tags",
    ),
    "tags of a job": (JobIn, full(b'{"tags":[', b'"a"', b"]}"), "tags"),
    "tags that end with a backslash": (JobIn, full(b'{"tags":[', b'"a\\\\"', b"]}"), "tags"),
    "tags, the field escaped": (JobIn, full(b'{"t\\u0061gs":[', b'""', b"]}"), "tags"),
    "tags of an event": (PublishIn, full(b'{"data":{},"tags":[', b'"a"', b"]}"), "tags"),
    "tags of a schedule": (ScheduleIn, full(b'{"tags":[', b'"a"', b"]}"), "tags"),
    "tags of an edit": (JobEdit, full(b'{"tags":[', b'"a"', b"]}"), "tags"),
    "queues of a lease": (LeasesIn, full(b'{"queues":[', b'"a"', b"]}"), "queues"),
    "queues of a worker": (WorkerIn, full(b'{"queues":[', b'"a"', b"]}"), "queues"),
    "states": (PurgeIn, full(b'{"states":[', b'"dead"', b"]}"), "states"),
    "patterns": (InterestIn, b'{"match":{' + b",".join(b'"%d":"a"' % number for number in range(300_000)) + b"}}", "match"),
    "concludes": (LeaseBatchIn, full(b'{"conclude":[', b'{"token":"a"}', b"]}"), "conclude"),
    "releases": (LeaseBatchIn, full(b'{"release":[', b'{"token":"a"}', b"]}"), "release"),
    "follow-ups": (ConcludeIn, full(b'{"then":[', b'{"queue":"a"}', b"]}"), "then"),
    "follow-ups of many": (
        LeaseBatchIn,
        full(b'{"conclude":[', b'{"token":"a","then":[' + b",".join([b'{"queue":"a"}'] * 900) + b"]}", b"]}"),
        "then",
    ),
    "a key that stands twice": (JobIn, full(b"{", b'"type":""', b"}"), "type"),
    "a pattern that stands twice": (InterestIn, full(b'{"match":{', b'"a":"b"', b"}}"), "match"),
    "a key of an entry": (BulkIn, full(b'{"jobs":[{"queue":"a",', b'"max_attempts":1', b"}]}"), "jobs[0].max_attempts"),
    "a key of a policy": (JobIn, full(b'{"retry":{', b'"base_ms":1', b"}}"), "retry.base_ms"),
}


@pytest.mark.parametrize("what", TOO_MANY)
def test_more_entries_than_a_body_may_have_cost_neither_time_nor_memory(what):
    kind, body, field = TOO_MANY[what]
    began = time.thread_time()
    with pytest.raises(InvalidRequest) as refused:
        bodies.decode(body, kind)
    assert time.thread_time() - began < 0.25, "20 ms, where nothing else is done"
    assert refused.value.fields["field"] == field
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest):
            bodies.decode(body, kind)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(body)
    finally:
        tracemalloc.stop()


def test_a_large_body_within_its_bounds_is_read_as_it_came():
    tags = [f'"{number}\\' for number in range(32)]
    job = {"queue": "a", "tags": tags, "payload": ["," * 1_000, {"tags": ["x"] * 40}]}
    given = bodies.decode(msgspec.json.encode({"jobs": [job] * 1_000}), BulkIn)
    assert (len(given.jobs), list(given.jobs[999].tags)) == (1_000, tags)
    match = {f"{number}" + '"' * 500: "\\" * 500 for number in range(64)}
    body = msgspec.json.encode({"match": match}) + b" " * 300_000
    assert bodies.decode(body, InterestIn).match == match
    assert bodies.decode(b'{"match":"*"}' + b" " * 300_000, InterestIn).match == "*"
    queues = [f"{number}" + "q" * 500 for number in range(256)]
    assert list(bodies.decode(msgspec.json.encode({"queues": queues}) + b" " * 300_000, LeasesIn).queues) == queues


def test_the_jobs_of_a_batch_are_bounded_together_in_small_bodies_too(api):
    each = [{"queue": "q"}] * 1_000
    entries = [{"token": f"{number}.1.x", "then": each} for number in range(BATCH_FOLLOW_UPS // 1_000)]
    assert api.post("/v1/leases/batch", {"conclude": entries}).status_code == 200
    entries.append({"token": "9.1.x", "then": [{"queue": "q"}]})
    refused = api.post("/v1/leases/batch", {"conclude": entries})
    assert (refused.status_code, refused.json()["field"]) == (400, "then")


def test_a_purge_looks_at_each_state_once(api, queue):
    api.post(f"/v1/queues/{queue}/jobs", {})
    refused = api.post(f"/v1/queues/{queue}/purge", {"states": ["dead", "ready"] * 10_000})
    assert (refused.status_code, refused.json()["field"]) == (400, "states")
    states = ["dead", "ready", "ready", "dead", "ready"]
    assert api.post(f"/v1/queues/{queue}/purge", {"states": states}).json() == {"purged": 1}
