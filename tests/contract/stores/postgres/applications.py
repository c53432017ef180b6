"""Applications that enqueue by SQL, and what the rows of a job say."""

import json

import psycopg
import pytest
from msgspec.structs import replace

from holdfast.stores import formats
from tests.contract.stores.conformance.conftest import postgres_server

JOB = "SELECT row_to_json(j)::jsonb - 'id' - 'created_at' FROM holdfast.job j WHERE id = %s"
PLACES = """
SELECT 'ready', queue, priority, attempt, failures, crashes, NULL FROM holdfast.ready WHERE job = %(job)s
UNION ALL SELECT 'held', queue, priority, attempt, failures, crashes, group_key FROM holdfast.held WHERE job = %(job)s
UNION ALL SELECT 'scheduled', queue, priority, attempt, failures, crashes, NULL FROM holdfast.scheduled WHERE job = %(job)s
UNION ALL SELECT 'unique', queue, NULL, NULL, NULL, NULL, key FROM holdfast.unique_key WHERE job = %(job)s
UNION ALL SELECT 'place', queue, NULL, NULL, NULL, NULL, group_key FROM holdfast.group_place WHERE job = %(job)s
ORDER BY 1
"""
DEADLINE = """
SELECT x.at - (j.extras::json ->> 'expires_at')::bigint, x.at - j.created_at FROM holdfast.job j LEFT JOIN holdfast.job_expiry x ON x.job = j.id
WHERE j.id = %s
"""
TALLY = "SELECT scheduled, ready, leased, bytes FROM holdfast.queue WHERE name = %s"


def enqueue(connection, queue="q", payload='{"n": 1}', function="enqueue_exact", **options) -> int:
    names = "".join(f", {name} => %({name})s" for name in options)
    kind = "bytea" if isinstance(payload, bytes) else "text"
    query = f"SELECT holdfast.{function}(%(queue)s, %(payload)s::{kind}{names})"
    row = connection.execute(query, {"queue": queue, "payload": payload} | options).fetchone()
    return row[0]


def refusal(connection, **options) -> tuple[str, str, str | None]:
    """Code, field and sentence with which a call is refused."""
    with pytest.raises(psycopg.Error) as refused:
        enqueue(connection, **options)
    said = json.loads(refused.value.diag.message_detail)
    assert refused.value.sqlstate.startswith("JQ0")
    assert refused.value.diag.column_name == said.get("field")
    return said["code"], said.get("field", said.get("queue")), refused.value.diag.message_primary


def told_of(job: int, queue: str):
    """All rows of a job, without its number and its moments."""
    server = postgres_server()
    body = server.value(JOB, (job,), database="holdfast")
    body["extras"] = formats.extras_of(body["extras"]) if body["extras"] is not None else None
    with server.connect(database="holdfast") as connection:
        places = connection.execute(PLACES, {"job": job}).fetchall()
    later = "SELECT ready_at - created_at FROM holdfast.scheduled s JOIN holdfast.job j ON j.id = s.job WHERE j.id = %s"
    waits = server.sql(later, (job,), database="holdfast")
    lasts = server.sql(DEADLINE, (job,), database="holdfast")
    if body["extras"] is not None and body["extras"].expires_at is not None:
        if body["extras"].expires_at == 32_472_144_000_000:
            lasts = [(lasts[0][0], "until then")]
        body["extras"] = replace(body["extras"], expires_at=1)
    return body, places, waits, lasts, server.sql(TALLY, (queue,), database="holdfast")
