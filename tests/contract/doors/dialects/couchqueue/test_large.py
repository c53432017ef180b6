"""What is large costs its own caller a refusal, and nobody else their time."""

import json

import pytest

MANY = 300_000


NUMBERED = "{" + ",".join(map('"{}":"a"'.format, range(MANY))) + "}"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (NUMBERED, "at most 100 entries"),
        ("{" + ",".join(['"action":"status"'] * MANY) + "}", "at most 100 entries"),
        (json.dumps({"action": "interestCreate", "queue": "q", "interests": NUMBERED}), "at most 64 entries"),
        (json.dumps({"action": "interestDelete", "queues": "a," * MANY, "queue": "q"}), ""),
        (json.dumps({"action": "taskGet", "workerId": "none", "queues": "a," * MANY}), ""),
        (json.dumps({"action": "workerRegister", "queues": "a," * MANY}), "at most 256 queues"),
        (json.dumps({"action": "taskCreate", "publisher": "p", "singularlyRun": True, "data": NUMBERED}), "1048576"),
        (json.dumps({"action": "taskCreate", "publisher": "p", "data": NUMBERED}), "1048576"),
    ],
    ids=["parameters", "one parameter", "interests", "unknown", "a task", "queues", "compared data", "data"],
)
def test_a_large_call_is_refused_by_its_bound(client, given, says):
    answer = client.post("/api", content=given, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert says in answer.text
    assert len(answer.content) < 1_000
