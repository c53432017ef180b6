"""How deep a document may be nested: counted exactly, whatever stands in its strings, and in a time that grows with its length alone."""

import asyncio
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.doors.rest import bodies
from holdfast.doors.rest.bodies import check_json
from holdfast.doors.rest.types import BulkIn
from holdfast.errors import InvalidRequest
from holdfast.limits import JSON_DEPTH, ONE_TURN_BODY_BYTES

TEXTS = st.text(st.sampled_from('[]{}"\\ax'), max_size=8)
VALUES = st.recursive(
    TEXTS | st.none(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=30
)


def depth_of(value):
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(VALUES, st.integers(0, JSON_DEPTH + 4), st.integers(0, JSON_DEPTH), st.sampled_from([True, False]))
def test_the_bound_on_depth_is_exact(value, more, wide, arrays):
    for _ in range(more):
        value = [value, *["]"] * (wide % 3)] if arrays else {'"': value}
    value = [value, *[[]] * wide]
    data = json.dumps(value).encode()
    if depth_of(value) <= JSON_DEPTH:
        check_json("payload", data)
    else:
        with pytest.raises(InvalidRequest, match=f"{JSON_DEPTH} levels") as refused:
            check_json("payload", data)
        assert refused.value.fields["field"] == "payload"


MB = 1 << 20
LARGE = {
    "one long text": b'["' + b"x" * MB + b'"' + b",[]" * 100 + b"]",
    "many escapes": b'["' + b"\\\\" * (MB // 2) + b'"' + b",[]" * 100 + b"]",
    "many quotes": b'["' + b'\\"' * (MB // 2) + b'"' + b",[]" * 100 + b"]",
    "short texts": b"[" + b",".join([b'"a"'] * (MB // 4)) + b",[]" * 100 + b"]",
    "deep ones": b"[" + b",".join([b"[" * 60 + b"]" * 60] * (MB // 121)) + b"]",
    "less deep ones": b"[" + b",".join([b"[" * 9 + b"]" * 9] * (MB // 19)) + b"]",
    "flat ones": b"[" + b",".join([b"[]"] * (MB // 3)) + b"]",
    "both kinds": b"[" + b",".join([b'[{"a":' * 25 + b"1" + b"}]" * 25] * (MB // 226)) + b"]",
}


@pytest.mark.parametrize("name", LARGE)
def test_a_megabyte_is_looked_through_in_some_milliseconds(name):
    took = []
    for _ in range(3):
        began = time.thread_time()
        check_json("payload", LARGE[name])
        took.append(time.thread_time() - began)
    assert min(took) < 0.05


@pytest.mark.parametrize("depth", [JSON_DEPTH, JSON_DEPTH + 1])
@pytest.mark.parametrize("wide", ['"\\"[["', "[]", "1"])
def test_a_document_that_is_read_in_several_turns_has_the_same_bound(depth, wide):
    document = "[" * depth + ",".join([wide] * (ONE_TURN_BODY_BYTES // len(wide))) + "]" * depth
    levels = depth + (wide == "[]")
    body = f'{{"jobs":[{{"queue":"q"}},{{"queue":"q","payload":{document}}}]}}'.encode()
    for read in (bodies.decode, lambda *of: asyncio.run(bodies.decode_in_turns(*of))):
        if levels > JSON_DEPTH:
            with pytest.raises(InvalidRequest) as refusal:
                read(body, BulkIn)
            assert refusal.value.fields["field"] == "jobs[1].payload"
        else:
            given = read(body, BulkIn)
            assert bodies.new_jobs(given.jobs, "jobs")[1].payload == document.encode()
