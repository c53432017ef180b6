"""Half of a surrogate pair, or bytes that are no UTF-8, in any text of a lease verb: a reason is cleaned and never refused; another field is refused alone."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.doors.rest import bodies, surrogates
from holdfast.doors.rest.types import FailIn
from holdfast.errors import MalformedJson

BROKEN = {
    "a high half": (rb"a\ud800b", "a\ufffdb"),
    "a low half": (rb"a\uDC00b", "a\ufffdb"),
    "halves in the wrong order": (rb"\udc00\ud800", "\ufffd\ufffd"),
    "a half before a pair": (rb"\ud83d\ud83d\ude00", "\ufffd😀"),
    "a half after a pair": (rb"\ud83d\ude00\ude00", "😀\ufffd"),
    "a half behind a backslash": (rb"\\\ud800", "\\\ufffd"),
    "a half at the end": (rb"x\udfff", "x\ufffd"),
    "the name of a file that is no UTF-8": (
        json.dumps(b"caf\xe9".decode(errors="surrogateescape"))[1:-1].encode(),
        "caf\ufffd",
    ),
    "a half beside what only looks like one": (rb"\\ud800 \ud800", "\\ud800 \ufffd"),
    "bytes": (b"caf\xe9", "caf\ufffd"),
    "a half in UTF-8": (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
    "half a character": (b"\xf0\x9f\x98", "\ufffd\ufffd\ufffd"),
    "both": (b"\xff\\ud800 ok", "\ufffd\ufffd ok"),
    "beside a mark that is taken": (rb"\ufdd0 \ud800", "\ufdd0 \ufffd"),
}
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(("written", "read"), BROKEN.values(), ids=BROKEN)
def test_a_reason_is_cleaned_and_never_refused_alone_and_among_others(api, queue, written, read):
    for _ in range(5):
        api.push(queue)
    jobs = api.lease(queue, max=5)
    tokens = [job["lease"]["token"].encode() for job in jobs]
    alone = api.post(f"/v1/leases/{tokens[0].decode()}/fail", content=b'{"reason":"%b","retry":false}' % written, headers=JSON)
    assert alone.status_code == 200, alone.text
    many = b'{"fail":[{"token":"%b","reason":"fine"},{"token":"%b","reason":"%b"}],"conclude":[{"token":"%b","result":"\xc3\xbc"}],"release":[{"token":"%b"}]}'
    batch = api.post("/v1/leases/batch", content=many % (tokens[1], tokens[2], written, tokens[3], tokens[4]), headers=JSON)
    assert batch.status_code == 200, batch.text
    assert "urn:holdfast:error" not in batch.text
    reasons = [api.job(job["id"])["errors"][0]["reason"] for job in jobs[:3]]
    assert [reasons[0], reasons[2]] == [read, read] or written in (b"\xed\xa0\x80", b"\xf0\x9f\x98")
    assert all("\ufffd" in reason for reason in (reasons[0], reasons[2]))
    assert reasons[1] == "fine"
    assert [api.job(job["id"])["state"] for job in jobs[3:]] == ["concluded", "ready"]
    assert api.job(jobs[3]["id"])["result"] == "ü"


ENTRIES = {
    ("conclude", "result"): b'{"token":"%b","result":{"a":["%b"]}}',
    ("conclude", "then"): b'{"token":"%b","then":[{"queue":"x","payload":"%b"}]}',
    ("conclude", "then "): b'{"token":"%b","then":[{"queue":"x","tags":["%b"]}]}',
    ("extend", "progress"): b'{"token":"%b","progress":"%b"}',
}


@pytest.mark.parametrize("written", [b"\\ud800", b"\xff"])
@pytest.mark.parametrize(("verb", "field"), ENTRIES)
def test_another_broken_text_refuses_its_entry_and_no_other(api, queue, verb, field, written):
    for _ in range(3):
        api.push(queue)
    jobs = api.lease(queue, max=3)
    tokens = [job["lease"]["token"].encode() for job in jobs]
    bad = ENTRIES[verb, field] % (tokens[0], written)
    others = b'"fail":[{"token":"%b","reason":"%b","retry":false}],"release":[{"token":"%b"}]' % (tokens[1], written, tokens[2])
    response = api.post("/v1/leases/batch", content=b'{"%b":[%b],%b}' % (verb.encode(), bad, others), headers=JSON)
    assert response.status_code == 200, response.text
    shown = response.json()[verb][0]
    assert (shown["code"], shown["status"], shown["field"]) == ("malformed_json", 400, field.strip())
    assert [api.job(job["id"])["state"] for job in jobs] == ["leased", "dead", "ready"]
    single = api.post(
        f"/v1/leases/{tokens[0].decode()}/{verb}", content=bad.replace(b'"token":"%b",' % tokens[0], b""), headers=JSON
    )
    api.refused(single, 400, "malformed_json")
    api.ended("conclude", jobs[0])


def test_a_token_with_a_broken_text_is_refused_alone(api, queue):
    api.push(queue)
    held = api.take(queue)
    body = b'{"conclude":[{"token":"%b"},{"token":"1.1.1.\\ud800"}]}' % held["lease"]["token"].encode()
    response = api.post("/v1/leases/batch", content=body, headers=JSON)
    assert [shown.get("code") for shown in response.json()["conclude"]] == [None, "malformed_json"]


def test_a_thousand_failures_with_broken_reasons_are_all_taken(api, queue):
    api.post("/v1/jobs", {"jobs": [{"queue": queue, "payload": n} for n in range(1_000)]})
    jobs = api.lease(queue, max=1_000)
    entries = [
        b'{"token":"%b","reason":"%b"}' % (job["lease"]["token"].encode(), rb"\ud8%02x" % (n % 256))
        for n, job in enumerate(jobs)
    ]
    response = api.post("/v1/leases/batch", content=b'{"fail":[%b]}' % b",".join(entries), headers=JSON)
    assert {shown["state"] for shown in response.json()["fail"]} == {"scheduled"}


@pytest.mark.parametrize(
    "body", [b'{"reason":"\\ud800"', b'{"reason":"\\ud800",}', b'\xff{"reason":"x"}', b'{"reason":\\ud800}', b'{"\\ud800":1}']
)
def test_what_is_no_json_for_another_reason_is_refused_as_before(api, queue, body):
    api.push(queue)
    held = api.take(queue)
    response = api.post(f"/v1/leases/{held['lease']['token']}/fail", content=body, headers=JSON)
    assert response.status_code == 400, response.text
    api.ended("conclude", held)


PIECES = st.sampled_from(
    [r"\ud800", r"\udc00", r"\ud83d\ude00", r"\\", r"\"", r"\n", r"\u0041", "ud800", "x", "ü", "\ufdd0", r"\ufdd1", r"\\ud800"]
)


@given(st.lists(PIECES, max_size=12), st.booleans())
def test_a_cleaned_reason_is_what_python_reads_with_each_half_replaced(pieces, spoiled):
    text = '{"reason":"' + "".join(pieces) + '"}'
    body = text.encode() + b""
    try:
        found = bodies.decode(body, FailIn)
    except MalformedJson:
        found = surrogates.fail_in(body)
    expected = "".join("\ufffd" if "\ud800" <= sign <= "\udfff" else sign for sign in json.loads(text)["reason"])
    assert found.reason == expected


def test_other_doors_clean_a_reason_too(api, queue):
    api.put("/interest", params={"queue": queue, "interests": "*"})
    worker = api.put("/worker", params={"queues": queue}).json()["workerId"]
    forms = [b'{"workerId":"%b","taskId":%d,"state":"fail","failReason":"a\\ud800"}', b"workerId=%b&taskId=%d&state=fail&failReason=a%%ED%%A0%%80", b"workerId=%b&taskId=%d&state=fail&failReason=a%%FF"]  # fmt: skip
    try:
        for form, kind in zip(
            forms, itertools.cycle(["application/json", *["application/x-www-form-urlencoded"] * 2]), strict=False
        ):
            api.put("/task", params={"publisher": "p", "data": "{}"})
            task = api.get("/task", params={"workerId": worker}).json()["task"]["taskId"]
            done = api.post("/task", content=form % (worker.encode(), task), headers={"content-type": kind})
            assert done.status_code == 200, done.text
            assert api.job(task)["errors"][0]["reason"].startswith("a\ufffd")
        for form, kind in ((b'{"queue":"\\ud800"}', "application/json"), (b"queue=%FF", "application/x-www-form-urlencoded")):
            refused = api.put("/interest", content=form, headers={"content-type": kind})
            assert (refused.status_code, refused.json()["code"]) in ((400, "invalid_request"), (400, "malformed_json"))
    finally:
        api.delete("/interest", params={"queue": queue})
