"""Statements for an application's own transaction: their text in each driver's form, and what a driver's refusal says."""

import json
from types import SimpleNamespace

import pytest

from holdfast.client import sql
from holdfast.errors import InvalidRequest, NotUnique


def test_a_statement_has_the_placeholders_of_its_driver():
    text, parameters = sql.enqueue("mail", {"order": 7}, unique_key="order-7", meta={"tenant": "7"}, idempotency_key="i")
    assert text == (
        "SELECT holdfast.enqueue(queue => CAST(%s AS text), payload => CAST(%s AS text), options => CAST(%s AS jsonb), "
        "idempotency_key => CAST(%s AS text))"
    )
    assert parameters[:2] == ["mail", '{"order":7}']
    assert json.loads(parameters[2]) == {"unique_key": "order-7", "meta": {"tenant": "7"}}
    assert parameters[3:] == ["i"]
    assert sql.enqueue("mail", 1, style="numeric") == (
        "SELECT holdfast.enqueue(queue => CAST($1 AS text), payload => CAST($2 AS text))",
        ["mail", "1"],
    )
    assert sql.enqueue("mail", style="named") == (
        "SELECT holdfast.enqueue(queue => CAST(:queue AS text), payload => CAST(:payload AS text))",
        {"queue": "mail", "payload": "null"},
    )


def test_bytes_stay_bytes_with_their_content_type():
    text, parameters = sql.enqueue("q", b"\x00", style="numeric")
    assert "CAST($2 AS bytea), content_type => CAST($3 AS text)" in text
    assert parameters == ["q", b"\x00", "application/octet-stream"]
    assert sql.enqueue("q", "<a/>", content_type="text/xml").parameters == ["q", b"<a/>", "text/xml"]


def test_the_exact_form_has_its_own_arguments_and_says_which_it_has_not():
    text, parameters = sql.enqueue("q", 1, exact=True, tags=["a"], priority=3)
    assert text.startswith("SELECT holdfast.enqueue_exact(")
    assert "tags => CAST(%s AS text[]), priority => CAST(%s AS bigint)" in text
    assert parameters == ["q", "1", ["a"], 3]
    with pytest.raises(InvalidRequest, match="meta is not an argument of enqueue_exact"):
        sql.enqueue("q", 1, exact=True, meta={"a": "b"})


class FromPsycopg(Exception):
    sqlstate = "JQ004"
    diag = SimpleNamespace(
        message_primary="Job 5 holds the unique key 'k' in queue q.",
        message_detail='{"code": "not_unique", "queue": "q", "unique_key": "k", "job_id": 5}',
    )


class FromAsyncpg(Exception):
    def __init__(self):
        super().__init__(FromPsycopg.diag.message_primary)
        self.sqlstate, self.detail = "JQ004", FromPsycopg.diag.message_detail


@pytest.mark.parametrize("raised", [FromPsycopg(), FromAsyncpg()])
def test_a_refusal_is_the_error_that_the_client_raises_over_http(raised):
    wrapped = RuntimeError("as Django and SQLAlchemy do")
    wrapped.__cause__ = raised
    for error in (raised, wrapped):
        found = sql.refusal(error)
        assert isinstance(found, NotUnique)
        assert (found.detail, found.job_id) == ("Job 5 holds the unique key 'k' in queue q.", 5)
    assert sql.refusal(RuntimeError()) is None
