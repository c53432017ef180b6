"""The curl calls of CQueue's own page, word for word but for host and port, and the answers that its users know."""

import json

from tests.contract.doors.servers import curl

USUAL = "localhost:3000"

ENQUEUE = """curl --location --request PUT 'localhost:3000/jobs/enqueue' \\
--header 'Content-Type: application/json' \\
--data '{
"Type": "TIME_CRITICAL"
}'"""

DEQUEUE = """curl --location --request POST 'localhost:3000/jobs/dequeue' \\
--header 'Content-Type: application/json'"""

CONCLUDE = """curl --location --request POST 'localhost:3000/jobs/conclude/1' \\
--header 'Content-Type: application/json'"""

SHOW = """curl --location 'localhost:3000/jobs/1' \\
--header 'Content-Type: application/json'"""

STATS = """curl --location 'localhost:3000/jobs/stats' \\
--header 'Content-Type: application/json'"""


def test_the_curl_calls_of_cqueue_give_the_life_of_a_job(serve):
    url = serve().url
    said = [curl(command, url, USUAL) for command in (DEQUEUE, ENQUEUE, SHOW, DEQUEUE, SHOW, DEQUEUE, CONCLUDE, SHOW, CONCLUDE)]
    assert said[:8] == [
        (204, ""),
        (200, '{"ID":1}'),
        (200, '{"ID":1,"Type":"TIME_CRITICAL","Status":"QUEUED"}'),
        (200, '{"ID":1,"Type":"TIME_CRITICAL","Status":"IN_PROGRESS"}'),
        (200, '{"ID":1,"Type":"TIME_CRITICAL","Status":"IN_PROGRESS"}'),
        (204, ""),
        (200, '{"ID":1,"Type":"TIME_CRITICAL","Status":"CONCLUDED"}'),
        (200, '{"ID":1,"Type":"TIME_CRITICAL","Status":"CONCLUDED"}'),
    ]
    assert (said[8][0], json.loads(said[8][1])["code"]) == (409, "wrong_state")
    status, body = curl(STATS, url, USUAL)
    stats = json.loads(body)
    assert list(stats) == ["Queued", "InProgress", "Concluded", "UptimeMillis"]
    assert (status, stats["Queued"], stats["InProgress"], stats["Concluded"]) == (200, 0, 0, 1)


def test_the_life_of_a_job_with_the_number_in_the_middle(serve):
    """`/jobs/enqueue -> /jobs/dequeue -> /jobs/{job_id}/conclude`, as the same page has it elsewhere."""
    url = serve().url
    curl(ENQUEUE, url, USUAL)
    curl(DEQUEUE, url, USUAL)
    said = curl(CONCLUDE.replace("/jobs/conclude/1", "/jobs/1/conclude"), url, USUAL)
    assert said == (200, '{"ID":1,"Type":"TIME_CRITICAL","Status":"CONCLUDED"}')


def test_a_conclusion_for_a_job_that_was_never_there(serve):
    status, body = curl(CONCLUDE, serve().url, USUAL)
    assert (status, json.loads(body)) == (404, {"error": "There is no job 1.", "code": "job_not_found"})
