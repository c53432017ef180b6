"""Half of a surrogate pair in a batch on a channel: a reason is cleaned, another field is refused alone, and every other message is answered as before."""

import json

import pytest

from tests.contract.doors.websocket.channel import token


@pytest.mark.parametrize("half", ["\\ud800", "\\udfff", "\\udc00\\ud800"])
def test_a_reason_is_cleaned_and_its_neighbours_are_ended(api, worker, queue, half):
    for _ in range(3):
        api.push(queue)
    worker.start(queue, credits=3)
    jobs = worker.jobs(3)
    lists = {"fail": [{"token": token(jobs[0]), "reason": "HALF", "retry": False}], "conclude": [{"token": token(jobs[1]), "result": "HALF"}, {"token": token(jobs[2])}]}  # fmt: skip
    worker.line.send(json.dumps({"op": "batch", "ref": "r", **lists}).replace("HALF", half))
    results = worker.receive("results", ref="r")
    assert results["fail"][0]["state"] == "dead"
    assert (results["conclude"][0]["code"], results["conclude"][0]["field"]) == ("malformed_json", "result")
    assert results["conclude"][1]["state"] == "concluded"
    assert set(api.job(jobs[0]["id"])["errors"][0]["reason"]) == {"\ufffd"}
    assert worker.conclude(jobs[1])[0]["state"] == "concluded"


@pytest.mark.parametrize(
    "message",
    [
        '{"op":"ping","ref":"\\ud800"}',
        '{"op":"batch","ref":"\\ud800","fail":[]}',
        '{"op":"enqueue","body":{"jobs":[{"queue":"a","type":"\\ud800"}]}}',
    ],
)
def test_another_message_with_a_broken_text_is_refused(worker, message):
    worker.line.send(message)
    assert worker.receive("error")["code"] == "malformed_json"
    worker.ask("ping", "pong")
